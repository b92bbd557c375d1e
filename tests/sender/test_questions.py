"""The desk that answers receivers: what gets an answer, what it says, and how many there are in a second."""

import dataclasses

from sealcast.core.channel import Framing
from sealcast.core.ids import ChannelNumber, Epoch
from sealcast.sender.questions import (
    ANSWERS_AT_ONCE,
    ANSWERS_PER_S,
    HOST_ANSWERS_AT_ONCE,
    HOST_ANSWERS_PER_S,
    HOSTS_MAX,
    QuestionDesk,
)
from sealcast.sender.session import SenderSession
from sealcast.wire.asking import MESSAGE_BYTES, Question, build_question, parse_answer, verify_answer
from sealcast.wire.seal import Seal
from simulation.parts import MS, SECOND, SIGNER, make_sender, make_spec, media, seal, serve

SPEC = dataclasses.replace(make_spec(10_000), framing=Framing.RTP, ask="127.0.0.1:9000")
NONCE = bytes(range(16))
QUESTION = build_question(Question(SPEC.number, NONCE))
HERE = "192.0.2.1"


def desk_of(session: SenderSession) -> QuestionDesk:
    """Return the desk of a sender."""
    return QuestionDesk(SPEC.number, session.told, SIGNER.sign)


def started() -> SenderSession:
    """Return a sender on air, which has sent three packets."""
    session = make_sender(SPEC, first_seq=65_534)
    serve(session, 0)
    seal(session, media(0, 1, 2), 0)
    return session


def ask(desk: QuestionDesk, now: int, host: str = HERE) -> Seal:
    """Return what a good answer says."""
    data = desk.answer(QUESTION, host, now)
    assert data is not None
    assert len(data) == MESSAGE_BYTES
    assert parse_answer(data).nonce == NONCE
    return verify_answer(parse_answer(data), SIGNER.public_key())


def test_an_answer_says_what_is_on_air() -> None:
    """Key, remaining time and counters at first; the next key and its window once the switch is set."""
    session = started()
    desk = desk_of(session)
    told = ask(desk, SECOND)
    assert (told.current.epoch, told.remaining_ms, told.lifetime_ms) == (Epoch(1), 9_000, 10_000)
    assert (told.ssrc, told.roc, told.seq) == (session.ssrc, 1, 0)
    assert told.next is None
    serve(session, 6 * SECOND)
    told = ask(desk, 6 * SECOND)
    assert told.next is not None
    assert told.window is not None
    assert (told.next.key_id.epoch, told.next.switch_in_ms) == (Epoch(2), 4_000)
    assert (told.window.opens_in_ms, told.window.closes_in_ms) == (1_500, 3_500)


def test_there_is_no_answer_off_air_nor_to_what_is_no_question_of_ours() -> None:
    """Before the first key, after the end, for another channel and for rubbish there is silence."""
    session = make_sender(SPEC)
    desk = desk_of(session)
    assert desk.answer(QUESTION, HERE, 0) is None
    serve(session, 0)
    for data in (b"", QUESTION[:-1], QUESTION + b"\0", b"x" * MESSAGE_BYTES):
        assert desk.answer(data, HERE, 0) is None
    assert desk.answer(build_question(Question(ChannelNumber(8), NONCE)), HERE, 0) is None
    assert desk.answer(QUESTION, HERE, 0) is not None
    session.end(0)
    assert desk.answer(QUESTION, HERE, 0) is None
    assert (desk.counts.answered, desk.counts.limited, desk.counts.refused) == (1, 0, 7)


def answers(desk: QuestionDesk, now: int, hosts: list[str]) -> int:
    """Return how many of these hosts get an answer at once."""
    return sum(desk.answer(QUESTION, host, now) is not None for host in hosts)


def test_one_host_is_limited_and_takes_nothing_from_others() -> None:
    """A host gets its burst, then its rate; another is answered meanwhile. An IPv6 host is its /64."""
    desk = desk_of(started())
    assert answers(desk, 0, [HERE] * 1_000) == HOST_ANSWERS_AT_ONCE
    assert answers(desk, 0, ["192.0.2.2"]) == 1
    assert answers(desk, SECOND, [HERE] * 1_000) == HOST_ANSWERS_PER_S
    neighbours = [f"2001:db8::{number:x}%eth0" for number in range(1, 1_000)]
    assert answers(desk, SECOND, neighbours) == HOST_ANSWERS_AT_ONCE
    assert answers(desk, SECOND, ["2001:db8:0:1::1"]) == 1


def test_all_together_are_limited() -> None:
    """However many hosts ask, and were they made up, answers stay within the limit; memory too."""
    desk = desk_of(started())
    crowd = [f"10.0.{number >> 8}.{number & 255}" for number in range(2 * HOSTS_MAX)]
    assert answers(desk, 0, crowd) == ANSWERS_AT_ONCE
    assert answers(desk, SECOND, crowd) == ANSWERS_PER_S
    assert len(desk._hosts) == HOSTS_MAX
    assert desk.counts.limited == 4 * HOSTS_MAX - ANSWERS_AT_ONCE - ANSWERS_PER_S
    assert answers(desk, SECOND + 5 * MS, crowd) == 1
