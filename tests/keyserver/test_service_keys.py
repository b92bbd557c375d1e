"""Shows which keys a device is told of, and what a grant says of them."""

import pytest

from sealcast.core.channel import ChannelSpec
from sealcast.core.errors import RefusedError
from sealcast.core.ids import ChannelNumber, Epoch, KeyId, Ssrc
from sealcast.core.ports import NS_PER_S
from sealcast.keys.material import Tek, make_tek
from sealcast.keys.table import KeyState
from sealcast.keyserver.air import AirReport, AirState, StoredReport
from sealcast.keyserver.service_channels import check_free
from sealcast.keyserver.service_keys import OnAir, choose_epochs, make_grant
from sealcast.keyserver.values import ChannelView, EpochRow, Fence
from sealcast.transport.system import SystemRandom

NEWS = ChannelNumber(7)
SPEC = ChannelSpec(number=NEWS, name="news", group="239.1.2.3", port=5004, lifetime_ms=100_000)
PLANNED, PUBLISHED = KeyState.PLANNED, KeyState.PUBLISHED
ACTIVE, DRAINING = KeyState.ACTIVE, KeyState.DRAINING


def view(*epochs: tuple[int, KeyState, bool, bool], fence: int | None = None) -> ChannelView:
    """Return a channel with epochs given as (epoch, state, has key, consumed), and maybe a fence."""
    rows = tuple(
        EpochRow(Epoch(epoch), "a", Ssrc(epoch), consumed=consumed, state=state, has_key=has_key)
        for epoch, state, has_key, consumed in epochs
    )
    fences = () if fence is None else (Fence(Epoch(fence), is_urgent=True, window_ms=2_000),)
    return ChannelView(SPEC, senders=(), sender_keys=(), epochs=rows, fences=fences)


def tek(epoch: int) -> Tek:
    """Return a key of the channel."""
    return make_tek(KeyId(NEWS, Epoch(epoch)), SPEC.suite, SystemRandom())


def report(epoch: int, received_ns: int, *, remaining_ms: int = 60_000, extended: bool = False) -> AirReport:
    """Return a sender's report."""
    return AirReport(
        epoch=Epoch(epoch),
        remaining_ms=remaining_ms,
        lifetime_ms=100_000,
        extended=extended,
        roc=3,
        seq=500,
        received_ns=received_ns,
    )


CHOICES = [
    ("nothing yet", [(1, PLANNED, False, False)], ()),
    ("published, not yet on air", [(1, PUBLISHED, True, False), (2, PUBLISHED, True, False)], (1,)),
    ("on air", [(1, ACTIVE, True, True), (2, PLANNED, False, False)], (1,)),
    (
        "on air with a next",
        [(1, DRAINING, True, True), (2, ACTIVE, True, True), (3, PUBLISHED, True, False)],
        (2, 3),
    ),
    ("on air, its key unknown here", [(1, ACTIVE, False, True), (2, PUBLISHED, True, False)], (2,)),
    ("a start whose report is under way", [(1, PUBLISHED, True, True), (2, PUBLISHED, True, False)], (1, 2)),
    (
        "starts that died before their first packet",
        [(1, PUBLISHED, True, True), (2, PUBLISHED, True, True), (3, PUBLISHED, True, False)],
        (2, 3),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("epochs", "chosen"), [c[1:] for c in CHOICES], ids=[c[0] for c in CHOICES])
def test_current_and_next_are_chosen(
    epochs: list[tuple[int, KeyState, bool, bool]], chosen: tuple[int, ...]
) -> None:
    """A device is given the key on air and the one to come, as far as the server holds them."""
    assert choose_epochs(view(*epochs)) == chosen


FENCED = [
    ("the skipped key, while its sender may not have heard", [(2, PUBLISHED, True, False)], (1, 2)),
    ("one beyond the fence", [(2, PUBLISHED, True, False), (3, PUBLISHED, True, False)], (1, 3)),
    ("the skipped one burned", [(2, PUBLISHED, True, True), (3, PUBLISHED, True, False)], (1, 3)),
    ("burned, with nothing beyond it yet", [(2, PUBLISHED, True, True), (3, PLANNED, False, False)], (1, 2)),
]


@pytest.mark.parametrize(("epochs", "chosen"), [c[1:] for c in FENCED], ids=[c[0] for c in FENCED])
def test_a_fence_decides_what_comes_next(
    epochs: list[tuple[int, KeyState, bool, bool]], chosen: tuple[int, ...]
) -> None:
    """Before the first epoch beyond a fence is on air its key is the next, once it is published."""
    assert choose_epochs(view((1, ACTIVE, True, True), *epochs, fence=3)) == chosen


def test_grant_counts_down_from_the_last_report() -> None:
    """Remaining time and window come from the report and our monotonic clock; a next key has a whole life."""
    seen = view((1, ACTIVE, True, True), (2, PUBLISHED, True, False))
    last = report(1, received_ns=10 * NS_PER_S, extended=True)
    grant = make_grant(
        seen,
        OnAir(last, {Ssrc(9): last}),
        {Epoch(1): tek(1), Epoch(2): tek(2)},
        jti="j",
        key_servers=("https://k",),
        audience=350,
        now=15 * NS_PER_S,
    )
    assert grant.spread_ms == 1_000
    current, coming = grant.keys
    assert (current.state, current.remaining_ms, current.lifetime_ms, current.extended) == (
        "current", 55_000, 100_000, True,
    )  # fmt: skip
    assert (coming.state, coming.remaining_ms, coming.lifetime_ms, coming.extended) == (
        "next", 100_000, 100_000, False,
    )  # fmt: skip
    assert grant.window is not None
    assert (grant.window.opens_in_ms, grant.window.closes_in_ms) == (30_000, 50_000)
    (stream,) = grant.streams
    assert (stream.ssrc, stream.roc, stream.seq, stream.age_ms) == (9, 3, 500, 5_000)
    assert grant.key_servers == ["https://k"]


def test_grant_before_the_first_packet_has_no_window() -> None:
    """While nothing is on air there is no time to count down and no stream to follow."""
    seen = view((1, PUBLISHED, True, False))
    grant = make_grant(seen, OnAir(None, {}), {Epoch(1): tek(1)}, jti="j", key_servers=(), audience=0, now=0)
    assert grant.window is None
    assert grant.streams == []
    assert [key.state for key in grant.keys] == ["next"]


def test_remaining_never_falls_below_zero() -> None:
    """A sender that went silent leaves 0, not a negative time."""
    assert report(1, received_ns=0, remaining_ms=50).remaining_now_ms(NS_PER_S) == 0


def test_newer_epoch_ends_older_runs() -> None:
    """Once a run reports a newer epoch, runs under older ones are no candidates for a joiner any more."""
    air = AirState()
    air.note(NEWS, Ssrc(1), report(1, 0))
    air.note(NEWS, Ssrc(2), report(2, 10))
    air.note(NEWS, Ssrc(3), report(2, 20))
    assert set(air.runs(NEWS, Epoch(2))) == {2, 3}
    assert air.runs(NEWS, Epoch(1)) == {}
    latest = air.latest(NEWS, Epoch(2))
    assert latest is not None
    assert latest.received_ns == 20
    air.forget(NEWS)
    assert air.latest(NEWS, Epoch(2)) is None


@pytest.mark.parametrize(("wall_ms", "remaining_ms"), [(5_000, 56_000), (0, 60_000)])
def test_restart_falls_back_to_the_wall_clock(wall_ms: int, remaining_ms: int) -> None:
    """After a restart the stored instant says how old a report is; a clock set back makes it new."""
    air = AirState()
    stored = StoredReport(NEWS, Ssrc(1), Epoch(1), 60_000, 100_000, False, 3, 500, reported_at_ms=1_000)
    air.restore(stored, now=NS_PER_S, wall_ms=wall_ms)
    latest = air.latest(NEWS, Epoch(1))
    assert latest is not None
    assert latest.remaining_now_ms(NS_PER_S) == remaining_ms


@pytest.mark.parametrize(
    ("name", "group", "port", "problem"),
    [
        ("sport", "239.1.2.4", 5004, None),
        ("sport", "239.1.2.3", 5006, None),
        ("sport", "239.1.2.3", 5002, None),
        ("sport", "239.1.2.3", 5004, "overlap"),
        ("sport", "239.1.2.3", 5005, "overlap"),
        ("news", "239.9.9.9", 6000, "exists"),
    ],
)
def test_channels_stand_apart(name: str, group: str, port: int, problem: str | None) -> None:
    """Two channels share no name, and in one group no data or control port."""
    new = ChannelSpec(number=ChannelNumber(0), name=name, group=group, port=port)
    if problem is None:
        check_free(new, [SPEC])
        return
    with pytest.raises(RefusedError) as refused:
        check_free(new, [SPEC])
    assert refused.value.type == problem


def test_same_group_in_another_spelling_overlaps() -> None:
    """IPv6 groups are compared as addresses, not as text."""
    one = ChannelSpec(number=ChannelNumber(1), name="one", group="ff3e::1", port=5004)
    two = ChannelSpec(number=ChannelNumber(2), name="two", group="ff3e:0:0::0001", port=5004)
    with pytest.raises(RefusedError, match="channel one uses"):
        check_free(two, [one])
