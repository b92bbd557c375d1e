"""Trains: many datagrams with one call, cut and put together by the kernel, or one by one without it."""

import socket
from collections.abc import Iterator

import pytest

from sealcast.transport import linux
from sealcast.transport.batches import DATAGRAM_MAX_BYTES, DatagramReceiver, DatagramSender


@pytest.fixture
def pair() -> Iterator[tuple[DatagramSender, DatagramReceiver]]:
    """Give a sender connected to a receiver on loopback."""
    below, above = socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
    above.bind(("127.0.0.1", 0))
    below.connect(above.getsockname())
    for sock in (below, above):
        sock.setblocking(False)
    with DatagramSender(below, "loopback") as sender, DatagramReceiver(above, "loopback") as receiver:
        yield sender, receiver


def numbered(lengths: list[int]) -> list[bytes]:
    """Return datagrams that tell themselves apart."""
    return [bytes([number % 251]) * length for number, length in enumerate(lengths)]


def send_all(sender: DatagramSender, datagrams: list[bytes]) -> None:
    """Send datagrams of one length, the last maybe shorter, as one train."""
    assert sender.send_train(memoryview(b"".join(datagrams)), len(datagrams[0])) == len(datagrams)


def take_all(receiver: DatagramReceiver) -> tuple[list[bytes], int]:
    """Return what waits, cut apart, and the number of trains in which it came."""
    into = memoryview(bytearray(2 * DATAGRAM_MAX_BYTES))
    taken: list[bytes] = []
    for trains in range(1_000):
        train = receiver.receive_train(into)
        if train is None:
            return taken, trains
        size, step = train
        taken += [bytes(into[at : min(at + step, size)]) for at in range(0, size, step)]
    raise AssertionError("no end")


MIXTURES = [
    [1_352] * 48,
    [1_352] * 40 + [700],
    [1],
    [100] * 64,
    [30_000, 30_000],
    [60_000],
]


@pytest.mark.parametrize("gathers", [True, False], ids=["gathered", "one by one"])
@pytest.mark.parametrize("lengths", MIXTURES, ids=str)
def test_a_train_arrives_as_its_datagrams(
    pair: tuple[DatagramSender, DatagramReceiver], lengths: list[int], *, gathers: bool
) -> None:
    """Each datagram is there once, in order and whole, however sender and receiver move it."""
    sender, receiver = pair
    if gathers:
        receiver.take_trains()
    send_all(sender, numbered(lengths))
    taken, _ = take_all(receiver)
    assert taken == numbered(lengths)


def test_lengths_that_change(pair: tuple[DatagramSender, DatagramReceiver]) -> None:
    """Longer, shorter, single and many in turn: nothing runs into its neighbour."""
    sender, receiver = pair
    receiver.take_trains()
    sent: list[bytes] = []
    for lengths in (
        [1_352] * 3,
        [100] * 5,
        [1_352],
        [1_400],
        [50],
        [50],
        [1_352] * 2 + [9],
        [7] * 3,
        [20_000],
    ):
        send_all(sender, numbered(lengths))
        sent += numbered(lengths)
    taken, trains = take_all(receiver)
    assert taken == sent
    assert trains < len(sent)


def test_without_gathering_equal_datagrams_still_make_a_train(
    pair: tuple[DatagramSender, DatagramReceiver],
) -> None:
    """What a foreign sender sends one by one is handled together all the same."""
    sender, receiver = pair
    assert sender.send_batch(numbered([1_352] * 20 + [10])) == 21
    taken, trains = take_all(receiver)
    assert (taken, trains) == (numbered([1_352] * 20 + [10]), 1)


def test_single_sends_after_a_train_are_not_cut(pair: tuple[DatagramSender, DatagramReceiver]) -> None:
    """A socket that sent trains sends a longer datagram whole."""
    sender, receiver = pair
    send_all(sender, numbered([100] * 4))
    assert sender.send_batch([b"x" * 5_000]) == 1
    assert take_all(receiver)[0] == [*numbered([100] * 4), b"x" * 5_000]


def test_a_kernel_that_cannot_cut(
    pair: tuple[DatagramSender, DatagramReceiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without UDP_SEGMENT the datagrams leave one by one."""
    sender, receiver = pair
    monkeypatch.setattr(linux, "UDP_SEGMENT", 4_242)
    send_all(sender, numbered([1_352] * 10))
    assert take_all(receiver)[0] == numbered([1_352] * 10)


@pytest.mark.usefixtures("portable")
def test_portable(pair: tuple[DatagramSender, DatagramReceiver]) -> None:
    """Nothing that only Linux has is used, and the same arrives."""
    sender, receiver = pair
    assert not receiver.take_trains()
    send_all(sender, numbered([1_352] * 10 + [3]))
    assert take_all(receiver)[0] == numbered([1_352] * 10 + [3])


def test_a_full_socket_hands_the_train_back() -> None:
    """Where nobody empties the socket, none of the train is done with, and it may be offered again."""
    below, above = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    below.setblocking(False)
    with DatagramSender(below, "a pair") as sender, above:
        done = [sender.send_train(memoryview(bytes(1_000)), 1_000) for _ in range(1_000)]
        assert done[0] == 1
        assert done[-1] == 0
        assert sender.stalls


def test_nothing_listens(pair: tuple[DatagramSender, DatagramReceiver]) -> None:
    """A port without a listener is counted and does not stop the stream."""
    sender, receiver = pair
    receiver.close()
    for _ in range(5):
        sender.send_train(memoryview(bytes(1_000)), 100)
    assert sender.refused
