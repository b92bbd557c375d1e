"""Shows when a stream with several senders is over: with the last BYE, and not while one goes on."""

from sealcast.core.ids import KeyId
from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.receiver.farewells import AFTER_BYE_NS, LIVES_NS, Farewells
from sealcast.receiver.streams import Streams
from sealcast.wire.seal import Seal

ONE, TWO = 11, 22
SECOND = NS_PER_S


class Air:
    """What a receiver hears of two runs."""

    def __init__(self) -> None:
        self.streams = Streams(20)
        self.farewells = Farewells(self.streams)

    def hear(self, ssrc: int, now: int, *, epoch: int = 1, bye: bool = False) -> None:
        """Take a SEAL packet of a run that has sent ten packets, all of them here."""
        seal = Seal(ssrc, KeyId(7, epoch), 1_000, 2_000, roc=0, seq=9, bye=bye)
        stream = self.streams.vouch(ssrc)
        stream.counter.check(0, 9, now)
        stream.counter.commit(9, now)
        self.farewells.note(seal, now)

    def is_over(self, now: int) -> bool:
        """Whether the stream is over."""
        return self.farewells.is_over(now, has_waiting=False)


def test_one_alone_ends_with_its_bye() -> None:
    """At once where its last packet is here."""
    air = Air()
    air.hear(ONE, 0)
    assert not air.is_over(0)
    assert air.farewells.next_timeout() is None
    air.hear(ONE, SECOND, bye=True)
    assert air.is_over(SECOND)
    assert not air.farewells.is_over(SECOND, has_waiting=True)
    assert air.farewells.is_over(SECOND + AFTER_BYE_NS, has_waiting=True)


def test_the_other_goes_on() -> None:
    """While it is heard the stream goes on; its own BYE ends it."""
    air = Air()
    air.hear(ONE, 0)
    air.hear(TWO, 0)
    air.hear(ONE, SECOND, bye=True)
    for now in range(SECOND, 9 * SECOND, SECOND):
        air.hear(TWO, now)
        assert not air.is_over(now + AFTER_BYE_NS)
        assert air.farewells.next_timeout() == now + LIVES_NS
    air.hear(TWO, 9 * SECOND, bye=True)
    assert air.is_over(9 * SECOND)


def test_one_that_falls_silent_is_waited_for_no_longer_than_it_may_be() -> None:
    """A run says something every five seconds; without BYE it ends a second later."""
    air = Air()
    air.hear(TWO, 0)
    air.hear(ONE, 100 * NS_PER_MS, bye=True)
    assert not air.is_over(5 * SECOND)
    assert air.is_over(LIVES_NS)


def test_one_that_crashed_before_is_not_waited_for() -> None:
    """Its word was of an earlier key, and nothing of it came since."""
    air = Air()
    air.hear(TWO, 0, epoch=1)
    air.hear(ONE, SECOND, epoch=2)
    air.hear(ONE, 2 * SECOND, epoch=2, bye=True)
    assert air.is_over(2 * SECOND)


def test_one_that_is_a_little_behind_in_its_key_goes_on() -> None:
    """It was heard after the BYE of the other, under whichever key."""
    air = Air()
    air.hear(TWO, 0, epoch=1)
    air.hear(ONE, 2 * SECOND, epoch=2, bye=True)
    air.hear(TWO, 2 * SECOND + 1, epoch=1)
    assert not air.is_over(2 * SECOND + 1)


def test_one_that_has_not_yet_told_of_its_new_key_goes_on() -> None:
    """The BYE comes right after a key change, between two packets of the other."""
    air = Air()
    air.hear(TWO, 0, epoch=1)
    air.hear(ONE, 10 * NS_PER_MS, epoch=2, bye=True)
    assert not air.is_over(11 * NS_PER_MS)
    air.hear(TWO, 20 * NS_PER_MS, epoch=1)
    assert not air.is_over(5 * SECOND)
    assert air.is_over(20 * NS_PER_MS + LIVES_NS)
