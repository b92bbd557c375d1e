"""The simulated network: what each fault does, its statistics, and that runs repeat."""

import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import LocalError
from sealcast.core.ports import NS_PER_MS
from sealcast.testing import DOWN, PERFECT, Arrival, Bursts, Link, MessageArrival, PacketArrival, SimNetwork
from sealcast.testing import network as network_module

GROUP = ("239.1.2.3", 5004)
PACKETS = 20_000


def drain(network: SimNetwork) -> Iterator[Arrival]:
    """Give everything on its way, jumping from arrival to arrival."""
    while (now := network.next_delivery_ns()) is not None:
        yield from network.deliver(now)


def run(link: Link, packets: int = PACKETS, seed: int = 1) -> tuple[SimNetwork, list[tuple[int, int]]]:
    """Send numbered packets a millisecond apart to one endpoint; return (arrival ns, number) of each."""
    network = SimNetwork(seed, link)
    network.join(network.endpoint("a"), GROUP)
    for number in range(packets):
        network.send(GROUP, number.to_bytes(4, "big"), number * NS_PER_MS)
    arrived = [
        (arrival.at_ns, int.from_bytes(arrival.data, "big"))
        for arrival in drain(network)
        if isinstance(arrival, PacketArrival)
    ]
    return network, arrived


def test_a_perfect_link() -> None:
    """Everything arrives once, in order, after the latency."""
    _, arrived = run(PERFECT, 100)
    assert arrived == [((number + 1) * NS_PER_MS, number) for number in range(100)]


def test_loss_is_independent() -> None:
    """A part of the packets is lost, spread evenly."""
    _, arrived = run(Link(loss=0.2))
    assert 0.19 < 1 - len(arrived) / PACKETS < 0.21
    assert 0.19 < 1 - sum(number < PACKETS // 2 for _, number in arrived) / (PACKETS // 2) < 0.21


def test_bursts_lose_as_much_but_together() -> None:
    """Gilbert and Elliott: the same rate, in runs of the mean length asked for."""
    _, arrived = run(Link(bursts=Bursts.of(rate=0.1, mean_packets=8)))
    numbers = [number for _, number in arrived]
    gaps = [after - before - 1 for before, after in pairwise(numbers)]
    runs = [gap for gap in gaps if gap]
    assert 0.08 < 1 - len(arrived) / PACKETS < 0.12
    assert 6 < sum(runs) / len(runs) < 10


def test_jitter_delays_and_does_not_reorder() -> None:
    """Packets come between latency and latency + jitter, still in order."""
    link = Link(latency_ns=3 * NS_PER_MS, jitter_ns=20 * NS_PER_MS)
    _, arrived = run(link)
    delays = [at_ns - number * NS_PER_MS for at_ns, number in arrived]
    assert [number for _, number in arrived] == list(range(PACKETS))
    assert min(delays) >= 3 * NS_PER_MS
    assert max(delays) <= 23 * NS_PER_MS
    assert max(delays) - min(delays) > 10 * NS_PER_MS


def test_reordered_packets_come_later() -> None:
    """The part held back arrives behind its followers, and the others keep their order."""
    network, arrived = run(Link(reorder=0.05, reorder_ns=5 * NS_PER_MS))
    late = [number for at_ns, number in arrived if at_ns == (number + 6) * NS_PER_MS]
    rest = [number for at_ns, number in arrived if at_ns == (number + 1) * NS_PER_MS]
    assert len(late) + len(rest) == PACKETS
    assert rest == sorted(rest)
    assert 0.04 < len(late) / PACKETS < 0.06
    assert network.endpoint("b").stats.reordered == 0


def test_duplicates_come_twice() -> None:
    """The part doubled arrives exactly twice."""
    _, arrived = run(Link(duplicate=0.05))
    numbers = [number for _, number in arrived]
    assert set(numbers) == set(range(PACKETS))
    assert 0.04 < len(numbers) / PACKETS - 1 < 0.06


LINKS = st.builds(
    Link,
    latency_ns=st.integers(0, 20 * NS_PER_MS),
    jitter_ns=st.integers(0, 20 * NS_PER_MS),
    loss=st.floats(0, 1),
    bursts=st.none() | st.builds(Bursts, *[st.floats(0, 1)] * 3),
    reorder=st.floats(0, 1),
    duplicate=st.floats(0, 1),
)


@given(LINKS, st.integers(0, 1 << 32))
def test_statistics_add_up_and_runs_repeat(link: Link, seed: int) -> None:
    """Whatever the faults: nothing arrives early, all is accounted for, and the seed gives the run again."""
    network, arrived = run(link, 50, seed)
    assert run(link, 50, seed)[1] == arrived
    assert arrived == sorted(arrived, key=lambda pair: pair[0])
    assert all(at_ns >= number * NS_PER_MS + link.latency_ns for at_ns, number in arrived)
    stats = next(iter(network._endpoints.values())).stats
    assert stats.offered == 50
    assert stats.delivered == len(arrived)
    assert stats.delivered_bytes == 4 * len(arrived)
    assert stats.offered + stats.duplicated == stats.lost + stats.delivered


def test_endpoints_are_independent() -> None:
    """One more endpoint changes nothing for the others, and two do not lose the same packets."""
    lossy = Link(loss=0.5)

    def lost_by_a(others: int) -> tuple[list[bytes], list[bytes]]:
        network = SimNetwork(3, lossy)
        a = network.endpoint("a")
        members = [a, *[network.endpoint(f"other {number}") for number in range(others)]]
        for member in members:
            network.join(member, GROUP)
        for number in range(100):
            network.send(GROUP, bytes([number]), number)
        arrived = [arrival for arrival in drain(network) if isinstance(arrival, PacketArrival)]
        return (
            [arrival.data for arrival in arrived if arrival.endpoint is a],
            [arrival.data for arrival in arrived if arrival.endpoint is members[-1]],
        )

    alone, _ = lost_by_a(0)
    among_others, of_another = lost_by_a(5)
    assert alone == among_others != of_another


def test_only_members_hear() -> None:
    """A packet reaches those who had joined when it was sent and have not left when it comes."""
    network = SimNetwork(1)
    early, late, leaving = (network.endpoint(name) for name in ("early", "late", "leaving"))
    network.join(early, GROUP)
    network.join(leaving, GROUP)
    network.send(GROUP, b"1", 0)
    network.send("another group", b"2", 0)
    network.join(late, GROUP)
    network.leave(leaving, GROUP)
    network.leave(leaving, GROUP)
    network.leave(leaving, "another group")
    assert [(a.endpoint, a.group) for a in drain(network) if isinstance(a, PacketArrival)] == [(early, GROUP)]
    assert (late.stats.offered, leaving.stats.dropped) == (0, 1)


def test_a_link_may_fail_and_be_mended() -> None:
    """While the link is down nothing arrives, afterwards everything again."""
    network = SimNetwork(1)
    endpoint = network.endpoint("a")
    network.join(endpoint, GROUP)
    for link, data in ((PERFECT, b"1"), (DOWN, b"2"), (PERFECT, b"3")):
        endpoint.link = link
        network.send(GROUP, data, 0)
    assert endpoint.link is PERFECT
    assert [a.data for a in drain(network) if isinstance(a, PacketArrival)] == [b"1", b"3"]


def test_messages_take_both_ways() -> None:
    """A question and its answer each take the latency of both ends."""
    network = SimNetwork(1)
    client, server = network.endpoint("client", Link(latency_ns=3)), network.endpoint("server", Link(20))
    question, answer = object(), object()
    network.send_message(client, server, question, 100)
    assert network.deliver(122) == []
    assert network.deliver(123) == [MessageArrival(123, server, client, question)]
    network.send_message(server, client, answer, 123)
    assert network.deliver(1_000) == [MessageArrival(146, client, server, answer)]


def test_a_lossy_link_delays_messages() -> None:
    """Loss costs a message retransmissions, not its arrival; a dead link never lets it through."""
    network = SimNetwork(1)
    client, server = network.endpoint("client"), network.endpoint("server", Link(loss=0.3))
    for number in range(1_000):
        network.send_message(client, server, number, 0)
    arrived = list(drain(network))
    late_ns = {arrival.at_ns for arrival in arrived}
    assert server.stats.messages == len(arrived) > 990
    assert late_ns >= {(2 + tries * 200) * NS_PER_MS for tries in range(4)}
    client.link = DOWN
    network.send_message(client, server, "nobody hears", 0)
    assert network.next_delivery_ns() is None
    assert server.stats.messages_lost == 1001 - len(arrived)


def test_order_within_one_instant() -> None:
    """What arrives at one instant comes in the order it was sent, packets and messages alike."""
    network = SimNetwork(1, Link(latency_ns=0))
    endpoint = network.endpoint("a")
    network.join(endpoint, GROUP)
    network.send(GROUP, b"1", 5)
    network.send_message(endpoint, endpoint, b"2", 5)
    network.send(GROUP, b"3", 5)
    network.send(GROUP, b"0", 4)
    assert [arrival[3] for arrival in network.deliver(5)] == [b"0", b"1", b"2", b"3"]
    assert network.deliver(5) == []


def test_a_caller_who_never_delivers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The heap is bounded."""
    monkeypatch.setattr(network_module, "IN_FLIGHT_MAX", 10)
    network = SimNetwork(1)
    network.join(network.endpoint("a"), GROUP)
    for _ in range(10):
        network.send(GROUP, b"", 0)
    with pytest.raises(LocalError, match="deliver"):
        network.send(GROUP, b"", 0)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Link(loss=1.1),
        lambda: Link(reorder=-0.1),
        lambda: Link(latency_ns=-1),
        lambda: Bursts(enter=2, leave=0.5),
        lambda: Bursts.of(rate=1, mean_packets=3),
        lambda: Bursts.of(rate=0.1, mean_packets=0.5),
    ],
)
def test_impossible_links_are_refused(wrong: object) -> None:
    """Chances lie between 0 and 1, and nothing arrives before it was sent."""
    assert callable(wrong)
    with pytest.raises(LocalError):
        wrong()


def test_names_are_taken_once() -> None:
    """Two endpoints of one name would share their chances."""
    network = SimNetwork(1)
    network.endpoint("a")
    with pytest.raises(LocalError, match="a already"):
        network.endpoint("a")


def test_ten_thousand_receivers() -> None:
    """A second of a 100-packet stream to 10,000 receivers is a matter of seconds, not minutes."""
    network = SimNetwork(1)
    for number in range(10_000):
        network.join(network.endpoint(str(number)), GROUP)
    began = time.process_time()
    delivered = 0
    for now in range(0, 1_000 * NS_PER_MS, 10 * NS_PER_MS):
        network.send(GROUP, b"packet", now)
        delivered += len(network.deliver(now))
    delivered += sum(1 for _ in drain(network))
    assert delivered == 1_000_000
    assert time.process_time() - began < 30
