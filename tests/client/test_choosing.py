"""Shows how a party chooses among its key servers, and which it leaves alone for how long."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.client.choosing import (
    LACKING_NS,
    PATIENCE_NS_MAX,
    PATIENCE_NS_MIN,
    SHUT_NS_MAX,
    TRIAL_NS,
    Choice,
    Servers,
    rank,
)
from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.testing import SimRandom

A, B, C, D = (f"https://{name}.example:8443" for name in "abcd")
PARTIES = [f"tv-{number}" for number in range(4_000)]

servers_st = st.lists(st.sampled_from([A, B, C, D]), min_size=1, max_size=4, unique=True)
choice_st = st.sampled_from(Choice)
deed_st = st.tuples(
    st.sampled_from(["ask", "fail", "busy", "lack", "announce", "hint"]),
    st.integers(0, 3),
    st.integers(0, 40 * NS_PER_S),
)


def made(choice: Choice, *named: str, party: str = "tv-1", seed: int = 1) -> Servers:
    """Return the servers of a party."""
    return Servers(party, named, choice, SimRandom(seed))


def answer(servers: Servers, server: str, now: int = 0, took_ms: int = 5) -> None:
    """Have a server answer."""
    servers.handle_answer(server, now, took_ms * NS_PER_MS)


def carry_out(servers: Servers, deed: str, server: str, wait_ns: int, now: int) -> None:
    """Have one thing happen to a server."""
    match deed:
        case "ask":
            servers.handle_asked(server, now)
        case "fail":
            servers.handle_failure(server, now)
        case "busy":
            servers.handle_busy(server, now, wait_ns)
        case _:
            servers.handle_lacking(server, now)


@given(choice_st, servers_st, st.lists(deed_st, max_size=40), st.integers(0, 99))
def test_a_healthy_server_is_always_asked(
    choice: Choice, named: list[str], deeds: list[tuple[str, int, int]], seed: int
) -> None:
    """Whatever the others do, one that never failed is in each order; nothing unknown and nobody twice is."""
    servers, now, known = Servers("tv-1", named, choice, SimRandom(seed)), 0, {*named}
    healthy = named[0]
    for deed, number, wait_ns in deeds:
        server = named[number % len(named)]
        if deed in {"announce", "hint"}:
            part = [A, B, C, D][: number + 1]
            (servers.announce if deed == "announce" else servers.hint)(part)
            known |= {*part}
        elif server != healthy:
            carry_out(servers, deed, server, wait_ns, now)
        order = servers.order(now)
        assert healthy in order
        assert len(order) == len({*order})
        assert {*order} <= known
        assert servers.wait_ns(now) == 0
        now += wait_ns // 10


@given(choice_st, servers_st, st.lists(deed_st, max_size=40))
def test_there_is_always_somebody_to_ask(
    choice: Choice, named: list[str], deeds: list[tuple[str, int, int]]
) -> None:
    """When all failed or are busy there is somebody to ask all the same, within 50 s at the latest."""
    servers, now = made(choice, *named), 0
    for deed, number, wait_ns in deeds:
        server = named[number % len(named)]
        if deed == "fail":
            servers.handle_failure(server, now)
        else:
            servers.handle_busy(server, now, wait_ns)
        assert servers.order(now)
        assert servers.wait_ns(now) <= 50 * NS_PER_S
        assert servers.order(now + servers.wait_ns(now))
        now += wait_ns // 10


@given(st.lists(st.sampled_from([A, B, C, D]), min_size=1, unique=True), st.text(max_size=20))
def test_rank_is_one_order_for_any_list(listed: list[str], party: str) -> None:
    """Rank depends on the party and the addresses alone, not on how they are listed."""
    assert rank(party, listed) == rank(party, sorted(listed))
    assert sorted(rank(party, listed)) == sorted(listed)


def test_parties_are_spread_evenly() -> None:
    """Each of four servers is the first of a quarter; those of one have the others as second alike."""
    firsts = Counter(rank(party, [A, B, C, D])[0] for party in PARTIES)
    assert all(850 < firsts[server] < 1_150 for server in (A, B, C, D))
    seconds = Counter(order[1] for p in PARTIES if (order := rank(p, [A, B, C, D]))[0] == A)
    assert all(0.25 < seconds[server] / firsts[A] < 0.42 for server in (B, C, D))


def test_a_server_more_moves_its_own_share_only() -> None:
    """From three servers to four about a quarter of the parties move, and all of them to the new one."""
    moved = [p for p in PARTIES if rank(p, [A, B, C])[0] != rank(p, [A, B, C, D])[0]]
    assert 0.2 < len(moved) / len(PARTIES) < 0.3
    assert all(rank(party, [A, B, C, D])[0] == D for party in moved)


def test_round_robin_takes_turns() -> None:
    """Each call begins at the next server; parties begin anywhere."""
    servers = made(Choice.ROUND_ROBIN, A, B, C)
    firsts = [servers.order(0)[0] for _ in range(30)]
    assert Counter(firsts) == {A: 10, B: 10, C: 10}
    begins = Counter(made(Choice.ROUND_ROBIN, A, B, C, seed=seed).order(0)[0] for seed in range(300))
    assert len(begins) == 3


def test_listed_stays_with_the_one_that_answers() -> None:
    """In order of the list; who answered stays first, also when a list that does not name it is announced."""
    servers = made(Choice.LISTED, A, B)
    assert servers.order(0) == [A, B]
    servers.handle_failure(A, 0)
    answer(servers, B)
    assert servers.order(SHUT_NS_MAX) == [B, A]
    servers.announce([C, A])
    assert servers.order(SHUT_NS_MAX) == [B, C, A]
    assert servers.present == B


@pytest.mark.parametrize("choice", [Choice.FIXED, Choice.ROUND_ROBIN])
def test_lists_are_resorts_of_one_another(choice: Choice) -> None:
    """What a grant announces comes before the credential's, then what a stream says; it is replaced whole."""
    servers = made(choice, A)
    servers.hint([D])
    assert servers.order(0) == [A, D]
    servers.announce([B, C])
    first, second, *rest = servers.order(0)
    assert {first, second} == {B, C}
    assert rest == [A, D]
    servers.announce([C])
    assert servers.order(0) == [C, A, D]
    servers.announce([])
    assert servers.order(0) == [C, A, D]
    servers.rename([B])
    assert servers.order(0) == [B]


def test_failures_shut_ever_longer_and_a_trial_opens() -> None:
    """A server that fails is last for longer and longer, tried by one; an answer puts it back."""
    servers, now = made(Choice.FIXED, A, B), 0
    first, other = servers.order(0)
    shut_ns = []
    for _ in range(8):
        servers.handle_failure(first, now)
        assert servers.order(now) == [other, first]
        began = now
        while servers.order(now)[0] != first:
            now += 10 * NS_PER_MS
        shut_ns.append(now - began)
    assert shut_ns[0] <= NS_PER_S
    assert shut_ns[2] > shut_ns[0]
    assert SHUT_NS_MAX // 2 <= max(shut_ns) <= SHUT_NS_MAX + 10 * NS_PER_MS
    servers.handle_asked(first, now)
    assert servers.order(now) == [other, first]
    assert servers.order(now + TRIAL_NS) == [first, other]
    answer(servers, first, now)
    assert servers.order(now) == [first, other]


def test_many_parties_do_not_come_back_together() -> None:
    """Half of the time that a server is shut is each party's own."""
    ends = set()
    for seed in range(50):
        servers = made(Choice.LISTED, A, B, seed=seed)
        servers.handle_failure(A, 0)
        ends.add(next(ms for ms in range(2_000) if servers.order(ms * NS_PER_MS)[0] == A))
    assert max(ends) - min(ends) > 300
    assert min(ends) >= 499


def test_busy_servers_are_left_alone_as_told() -> None:
    """One that said when to come back is not asked before, unless all said so: `wait_ns` tells."""
    servers = made(Choice.LISTED, A, B)
    servers.handle_busy(A, 0, 4 * NS_PER_S)
    assert servers.order(3 * NS_PER_S) == [B]
    assert servers.wait_ns(0) == 0
    assert 4 * NS_PER_S <= servers.busy_ns(0) <= 5 * NS_PER_S
    servers.handle_busy(B, 0, NS_PER_S)
    assert servers.order(0) == [B, A]
    assert NS_PER_S <= servers.wait_ns(0) <= 2 * NS_PER_S
    assert servers.order(6 * NS_PER_S) == [A, B]


def test_a_server_that_lacks_a_key_is_passed_over() -> None:
    """The next request goes to another for two seconds, and it is no failure."""
    servers = made(Choice.FIXED, A, B)
    first, other = servers.order(0)
    answer(servers, first)
    servers.handle_lacking(first, 0)
    assert servers.order(0) == [other, first]
    assert servers.order(LACKING_NS) == [first, other]


def test_patience_follows_what_answers_take() -> None:
    """Patience is short where answers are quick, longer over a slow line, and never beyond its bounds."""
    servers = made(Choice.LISTED, A, B)
    assert servers.patience_ns == PATIENCE_NS_MIN
    for _ in range(20):
        answer(servers, A, took_ms=400)
    assert servers.patience_ns == pytest.approx(1_200 * NS_PER_MS, rel=0.01)
    for _ in range(20):
        answer(servers, A, took_ms=5_000)
    assert servers.patience_ns == PATIENCE_NS_MAX
