"""Whole receivers on the packets of `bench schedules`: they ask when light ones do, and else nothing."""

from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import prod

import pytest

from sealcast.bench.change import Change, record_change
from sealcast.bench.crowd import Loss
from sealcast.bench.schedules import SPEC
from sealcast.core.channel import ScheduleKind
from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.messages.answers import Grant, GrantedKey, SenderKey, StreamState
from sealcast.messages.channels import channel_data
from sealcast.messages.encoding import b64url_encode
from sealcast.messages.jwk import Jwk
from sealcast.messages.material import key_material
from sealcast.receiver.session import ReceiverSession
from sealcast.receiver.values import FetchRequest
from sealcast.testing import Bursts, Link, SimRandom
from sealcast.testing.links import LinkState

RECEIVERS = 36
REPEATS = 3
ROUNDING_NS = 10 * NS_PER_MS
"""Windows are told in whole milliseconds."""

LINKS = {
    "singly": (Link(loss=0.6), Loss(0.6)),
    "in bursts": (Link(bursts=Bursts.of(0.6, 20)), Loss(0.6, 20)),
}
"""So bad that many of a few dozen receivers miss an update; bursts are of SEAL packets here."""


@pytest.fixture(scope="module")
def change() -> Change:
    """Record one change of a chain whose keys live a minute."""
    spec = replace(SPEC, schedule=ScheduleKind.CHAIN, repeats=REPEATS, lifetime_ms=60_000)
    return record_change(spec, SimRandom("sample"))


def grant_of(change: Change) -> Grant:
    """Return the grant of the key on air, as it was when the change was not told yet."""
    material = key_material(change.before)
    lifetime_ms = change.spec.lifetime_ms
    public = b64url_encode(change.signer.public_key().public_bytes_raw())
    return Grant(
        jti="1",
        channel=channel_data(change.spec),
        keys=[
            GrantedKey(
                material=material, state="current", remaining_ms=lifetime_ms // 2, lifetime_ms=lifetime_ms
            )
        ],
        streams=[StreamState(ssrc=change.ssrc, roc=0, seq=0, age_ms=0)],
        senders=[SenderKey(id="studio", key=Jwk(kty="OKP", crv="Ed25519", x=public))],
    )


@dataclass
class Viewer:
    """One receiver: what it asked and when, and how many of the repeats it heard."""

    session: ReceiverSession
    asked: list[tuple[int, FetchRequest]] = field(default_factory=list)
    heard: int = 0

    def advance(self, until_ns: int) -> None:
        """Let time pass; nobody answers what is asked."""
        while (due_ns := self.session.next_timeout()) is not None and due_ns <= until_ns:
            self.session.handle_timeout(due_ns)
            request = self.session.poll_fetch(due_ns)
            if request is None:
                break
            self.asked.append((due_ns, request))


def watch(change: Change, link: Link, seed: str) -> Viewer:
    """Play a change to one receiver that holds the key on air, up to the switch."""
    random = SimRandom(f"sample/{seed}")
    state = LinkState(link, random.fork("link"))
    begin_ns = change.packets[0].at_ns - NS_PER_S
    session = ReceiverSession(channel="news", reorder_ms=0, random=random, now=begin_ns)
    assert session.poll_fetch(begin_ns) is not None
    session.handle_grant(grant_of(change), begin_ns)
    viewer = Viewer(session)
    for packet in change.packets:
        if packet.seal.current != change.before.key_id:
            break
        viewer.advance(packet.at_ns)
        if not state.is_lost():
            viewer.heard += bool(packet.seal.rekeys)
            session.handle_control(packet.data, packet.at_ns)
    return viewer


def chances(change: Change, loss: Loss) -> list[float]:
    """Return the chance to lose each repeat, having lost those before, on links that count SEAL packets."""
    sent = [number for number, packet in enumerate(change.packets) if packet.seal.rekeys]
    return [loss.rate, *(loss.again(later - sooner) for sooner, later in pairwise(sent))]


@pytest.mark.parametrize("how", LINKS)
def test_real_receivers_do_as_light_ones(change: Change, how: str) -> None:
    """Who heard a repeat holds the next key and asks nothing; who heard none asks once, in its window."""
    check(change, how, RECEIVERS)


@pytest.mark.soak
@pytest.mark.parametrize("how", LINKS)
def test_many_real_receivers_do_as_light_ones(change: Change, how: str) -> None:
    """The same with a thousand receivers."""
    check(change, how, 1_000)


def check(change: Change, how: str, receivers: int) -> None:
    """Play a change to so many receivers and look at each, then at how many missed it."""
    link, loss = LINKS[how]
    opens_ns = change.packets[0].at_ns + change.window.opens_in_ms * NS_PER_MS
    closes_ns = change.packets[0].at_ns + change.window.closes_in_ms * NS_PER_MS
    viewers = [watch(change, link, f"{how}/{i}") for i in range(receivers)]
    for viewer in viewers:
        assert len(viewer.asked) == (viewer.heard == 0)
        assert viewer.session.state(0).holds_next == (viewer.heard > 0)
        assert viewer.session.stats.control_refused == 0
        for at_ns, request in viewer.asked:
            assert opens_ns <= at_ns <= closes_ns + ROUNDING_NS
            assert request.held == (str(change.before.key_id),)
    missed = sum(viewer.heard == 0 for viewer in viewers)
    share = prod(chances(change, loss))
    print(f"{how}: {missed} of {receivers} missed {REPEATS} repeats, {receivers * share:.1f} expected")
    assert abs(missed - receivers * share) <= 3 * (receivers * share * (1 - share)) ** 0.5
