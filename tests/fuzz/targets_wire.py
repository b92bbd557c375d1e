"""Owns the targets on the wire: RTP, SRTP, SRTCP, RTCP, SEAL, key IDs, counters and the replay window."""

import dataclasses

from fuzz.targets import Script, Target, remote
from sealcast.core.ids import Epoch, KeyId
from sealcast.wire import asking, rtcp, rtp, srtcp
from sealcast.wire import seal as seal_packet
from sealcast.wire.counters import INDEX_MAX, RolloverCounter
from sealcast.wire.replay import WINDOW_PACKETS, ReplayWindow
from wire.hostile import (
    COMPOUND,
    CONTROL,
    CONTROL_KEY,
    MKI,
    RTP,
    SIGNER,
    WORD,
    read_control,
    read_data,
    read_hint,
    read_seal,
)

BODY_BYTES = len(COMPOUND) - seal_packet._SIGNATURE_TLV_BYTES
GUESSES_MAX = 15
NONCE = bytes(asking.NONCE_BYTES)
QUESTION = asking.build_question(asking.Question(MKI.channel, NONCE))
NEXT = seal_packet.NextKey(KeyId(MKI.channel, Epoch(MKI.epoch + 1)), 5)
SAID = dataclasses.replace(seal_packet.parse_seal(COMPOUND).seal, next=NEXT)
ANSWER = asking.build_answer(SAID, NONCE, SIGNER.sign)


def targets() -> dict[str, Target]:
    """Return the targets of this file."""
    encrypted = srtcp.seal_control(CONTROL_KEY, COMPOUND, 1, 9, MKI.pack(), encrypted=True)
    return {
        "rtp": remote(rtp.parse_header, RTP),
        "srtp": remote(read_data, RTP),
        "srtcp": remote(read_control, CONTROL, encrypted),
        "rtcp": remote(rtcp.split_compound, COMPOUND),
        "seal": remote(read_seal, COMPOUND),
        "seal_hint": remote(read_hint, CONTROL),
        "seal_signed": remote(_signed_seal, COMPOUND[:BODY_BYTES]),
        "question": remote(asking.parse_question, QUESTION),
        "sender_answer": remote(_read_answer, ANSWER),
        "sender_answer_signed": remote(_signed_answer, ANSWER[: -seal_packet.SIGNATURE_BYTES]),
        "key_id": remote(KeyId.unpack, MKI.pack()),
        "key_id_text": remote(lambda data: KeyId.parse(data.decode("utf-8", "replace")), str(MKI).encode()),
        "counters": remote(_count, bytes(range(60))),
        "replay_window": remote(_replay, bytes(range(60))),
    }


def _read_answer(data: bytes) -> None:
    """Read a sender's answer as receivers do."""
    asking.verify_answer(asking.parse_answer(data), SIGNER.public_key())


def _signed_answer(body: bytes) -> None:
    """Read an answer that the sender signed, whatever it says: what is taken is said in the same bytes."""
    answer = asking.parse_answer(body + SIGNER.sign(asking.SIGNING_CONTEXT + body))
    seal = asking.verify_answer(answer, SIGNER.public_key())
    assert asking.build_answer(seal, answer.nonce, SIGNER.sign)[: len(body)] == body


def _signed_seal(body: bytes) -> None:
    """Read a compound that the sender signed, whatever it says: the signature is made here."""
    tail = seal_packet._tlv(seal_packet.T_SIGNATURE, bytes(seal_packet.SIGNATURE_BYTES))
    unverified = seal_packet.parse_seal(body + tail)
    signature = SIGNER.sign(seal_packet._to_sign(unverified.signed, unverified.seal.current, WORD))
    signed = seal_packet.UnverifiedSeal(unverified.seal, unverified.signed, signature)
    assert seal_packet.verify_seal(signed, SIGNER.public_key(), WORD) == unverified.seal


def _count(data: bytes) -> None:
    """Drive a counter: its guesses are indices of the packet's SEQ, a bounded number of them."""
    script, counter, now = Script(data), RolloverCounter(), 0
    while script:
        now += script.number(2) << 20
        roc, seq = script.number(4), script.number(2)
        match script.number() % 4:
            case 0:
                counter.add_candidate(roc, seq)
            case 1:
                counter.check(roc, seq, now)
            case 2:
                counter.commit(min(roc << 16 | seq, INDEX_MAX), now)
        guesses = counter.guesses(seq, now)
        assert len(set(guesses)) == len(guesses) <= GUESSES_MAX
        assert all(index >= 0 and index % rtp.SEQ_MODULUS == seq for index in guesses)


def _replay(data: bytes) -> None:
    """Drive a window: what was marked is never new again, what is ahead of all always is."""
    script, window, marked, highest = Script(data), ReplayWindow(), set[int](), -1
    while script:
        index = script.number() << 16 | script.number(2)
        if window.is_new(index):
            if index in marked or index <= highest - WINDOW_PACKETS:
                raise AssertionError("an index is new that is not")
            window.mark(index)
            marked.add(index)
            highest = max(highest, index)
        elif index not in marked and index > highest - WINDOW_PACKETS:
            raise AssertionError("an index is not new that is")
