"""When a receiver asks the sender, and which answers it believes."""

import dataclasses
import math
from itertools import pairwise

import pytest

from sealcast.core.errors import AuthenticationError, FormatError, RemoteError, ReplayError
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.core.ports import NS_PER_S
from sealcast.receiver.questions import (
    ANSWER_NS,
    HEARD_NOW_NS,
    HEARD_NS,
    NONCES_MAX,
    RETRY_NS_MAX,
    QuestionPlanner,
)
from sealcast.testing import SimRandom
from sealcast.wire.asking import build_answer, parse_question
from sealcast.wire.seal import Seal
from simulation.parts import CHANNEL, MS, SECOND, SIGNER, STRANGER

LIFETIME_MS = 60_000
NUMBER = ChannelNumber(CHANNEL)


def make_planner(seed: str = "asker", now: int = 0) -> QuestionPlanner:
    """Return a planner that knows the sender's key."""
    planner = QuestionPlanner(NUMBER, SimRandom(seed), now)
    planner.set_senders(
        [STRANGER.public_key().public_bytes_raw()[::-1], SIGNER.public_key().public_bytes_raw()]
    )
    return planner


def word(remaining_ms: int, epoch: int = 1, *, extended: bool = False) -> Seal:
    """Return a sender's word."""
    return Seal(
        ssrc=1,
        current=KeyId(NUMBER, Epoch(epoch)),
        remaining_ms=remaining_ms,
        lifetime_ms=LIFETIME_MS,
        roc=0,
        seq=0,
        extended=extended,
    )


def nonce_of(question: bytes | None) -> bytes:
    """Return the nonce of a question that was asked."""
    assert question is not None
    return parse_question(question).nonce


def answer(planner: QuestionPlanner, question: bytes | None, seal: Seal, now: int) -> None:
    """Give a planner a good answer."""
    taken = planner.take(build_answer(seal, nonce_of(question), SIGNER.sign), now)
    assert taken == seal
    planner.note_told(taken, now, is_answer=True)


def due_s(planner: QuestionPlanner) -> float:
    """Return when the next question is due."""
    due_ns = planner.next_timeout()
    assert due_ns is not None
    return due_ns / NS_PER_S


def asked_times(planner: QuestionPlanner, until_ns: int, now: int = 0) -> list[int]:
    """Return when questions go out that nobody answers."""
    times = []
    while (due_ns := planner.next_timeout()) is not None and due_ns <= until_ns:
        now = max(now, due_ns)
        if planner.poll(now) is not None:
            times.append(now)
    return times


def test_it_asks_at_once_and_again_with_growing_steps() -> None:
    """Without an answer the steps double from about 0.25 s to a minute, and never end."""
    times = asked_times(make_planner(), 600 * SECOND)
    assert times[0] == 0
    steps = [later - earlier for earlier, later in pairwise(times)]
    assert steps[0] <= 250 * MS
    assert RETRY_NS_MAX // 2 <= min(steps[9:]) <= max(steps) <= RETRY_NS_MAX
    assert 15 <= len(times) <= 30


def test_it_asks_before_a_key_ends_and_after() -> None:
    """One question in the last quarter of a key's time, one within a tenth after its end, no more."""
    for seed in range(200):
        planner = make_planner(f"{seed}")
        answer(planner, planner.poll(0), word(LIFETIME_MS), 0)
        ahead = due_s(planner)
        assert 45 <= ahead <= 60
        now = math.ceil(ahead * NS_PER_S) + 1_000
        answer(planner, planner.poll(now), word(max(1, LIFETIME_MS - now // MS)), now)
        after = due_s(planner)
        assert 59.9 <= after <= 66.1
        now = math.ceil(after * NS_PER_S) + 1_000
        answer(planner, planner.poll(now), word(LIFETIME_MS, 2), now)
        assert due_s(planner) - after >= 44.9


def test_a_crowd_does_not_ask_at_once() -> None:
    """Of a thousand receivers with the same word few ask in the same tenth of a second."""
    instants: list[float] = []
    for number in range(1_000):
        planner = make_planner(f"crowd/{number}")
        answer(planner, planner.poll(0), word(LIFETIME_MS), 0)
        instants.append(due_s(planner))
    tenths = [int(instant * 10) for instant in instants]
    assert max(tenths.count(each) for each in set(tenths)) <= 30


def test_wishes_of_every_packet_draw_one_instant() -> None:
    """Ten thousand packets that fit a newer key make one question, spread as if it were one packet."""
    instants = []
    for number in range(300):
        planner = make_planner(f"many/{number}")
        answer(planner, planner.poll(0), word(LIFETIME_MS), 0)
        for step in range(100):
            planner.want(10 * SECOND + step, None)
        instants.append(due_s(planner) - 10)
    assert 2.5 < sum(instants) / len(instants) < 3.5
    assert max(instants) > 5.5


def test_packets_that_fit_nothing_ask_soon_but_not_often() -> None:
    """A flood of them brings a question in 2 s; while nobody answers, a few more at first."""
    planner = make_planner()
    answer(planner, planner.poll(0), word(LIFETIME_MS), 0)
    times = []
    for now in range(5 * SECOND, 25 * SECOND, 10 * MS):
        planner.want(now, 0)
        if (question := planner.poll(now)) is not None:
            times.append(now)
            answer(planner, question, word(50_000), now)
    assert times[0] == 5 * SECOND
    assert len(times) == 10
    for now in range(30 * SECOND, 50 * SECOND, 10 * MS):
        planner.want(now, 0)
        times += [now] if planner.poll(now) is not None else []
    assert times[10] == 30 * SECOND
    assert 10 <= len(times) - 10 <= 20


@pytest.mark.parametrize("fits", [True, False])
def test_nothing_is_asked_while_seal_packets_are_heard(fits: bool) -> None:  # noqa: FBT001 - by pytest
    """They say the same; 10 s after the last of them the sender is asked, or 1 s if packets fit nothing."""
    planner = make_planner()
    for now in range(0, 300 * SECOND, 5 * SECOND):
        seal = word(LIFETIME_MS - now // MS % LIFETIME_MS, 1 + now // MS // LIFETIME_MS)
        planner.note_told(seal, now, is_answer=False)
        if not fits:
            planner.want(now, 0)
        assert planner.poll(now) is None
        assert planner.poll(now + 900 * MS) is None
    last_ns = 295 * SECOND
    (first, *_) = asked_times(planner, 400 * SECOND, last_ns)
    heard_ns = HEARD_NS if fits else HEARD_NOW_NS
    assert last_ns + heard_ns <= first <= last_ns + heard_ns * 3 // 2


def test_an_epoch_that_goes_on_is_asked_after() -> None:
    """While the sender extends a key, and beyond an end that was told as now, it is asked every 2 to 3 s."""
    for seal in (word(0), word(3_000, extended=True)):
        planner = make_planner()
        answer(planner, planner.poll(0), seal, 0)
        assert 2 <= due_s(planner) <= 3


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ("stranger", AuthenticationError),
        ("nonce", ReplayError),
        ("late", ReplayError),
        ("twice", ReplayError),
        ("channel", FormatError),
        ("cut", FormatError),
        ("question", FormatError),
        ("lie", AuthenticationError),
    ],
)
def test_lies_are_refused(change: str, error: type[RemoteError]) -> None:
    """Another's signature, nonces that were not asked or are over, another channel, changed content."""
    planner = make_planner()
    question = planner.poll(0)
    nonce, seal, now, sign = nonce_of(question), word(1_000), MS, SIGNER.sign
    match change:
        case "stranger":
            sign = STRANGER.sign
        case "nonce":
            nonce = nonce[::-1]
        case "late":
            now = ANSWER_NS
        case "twice":
            answer(planner, question, seal, now)
        case "channel":
            seal = dataclasses.replace(seal, current=KeyId(ChannelNumber(9), Epoch(1)))
        case _:
            pass
    data = build_answer(seal, nonce, sign)
    if change == "cut":
        data = data[:-1]
    if change == "question":
        data = question or b""
    if change == "lie":
        data = data[:60] + b"\1" + data[61:]
    with pytest.raises(error):
        planner.take(data, now)


def test_an_answer_to_the_question_before_counts_too() -> None:
    """A slow answer is taken when the question was repeated; what is remembered is bounded."""
    planner = make_planner()
    first = planner.poll(0)
    for step in range(1, NONCES_MAX):
        assert planner.poll(step * SECOND) is not None
    answer(planner, first, word(1_000), 4 * SECOND)
    planner = make_planner()
    first = planner.poll(0)
    for step in range(1, NONCES_MAX + 1):
        due_ns = planner.next_timeout()
        assert due_ns is not None
        assert planner.poll(max(due_ns, step * SECOND)) is not None
    assert len(planner._nonces) == NONCES_MAX
