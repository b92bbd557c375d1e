"""Owns questions to a sender and its answers, for streams whose packets carry no key ID (S1-15).

```
question 144 = "SCAQ" ‖ version 8 ‖ 0 24 ‖ nonce 16 bytes ‖ channel 32 ‖ zeros
answer   144 = "SCAA" ‖ version 8 ‖ flags 8 ‖ 0 16 ‖ nonce 16 bytes
             ‖ key ID 8 bytes ‖ remaining ms 32 ‖ lifetime ms 32
             ‖ next key ID 8 bytes ‖ ms to the switch 32 ‖ window opens in ms 32 ‖ closes in ms 32
             ‖ SSRC 32 ‖ ROC 32 ‖ highest SEQ 16 ‖ 0 16
             ‖ pattern number 32 ‖ ms to the next 32
             ‖ Ed25519 signature 64 bytes
flags: bit 0 extended, bit 1 a next key is there, bit 2 patterns are; what is not there is zeros
```
An answer says what a SEAL packet says (`wire.seal`), and is as long as its question: nobody can have a sender
send more to a third party than he sent himself. The signature is over `"sealcast ANSWER 1"` and all that
stands before it, the nonce too. Nothing in it is secret.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.core.ids import KEY_ID_BYTES, ChannelNumber, KeyId
from sealcast.wire.seal import SIGNATURE_BYTES, NextKey, PatternState, Seal, SealWindow, capped_ms

MESSAGE_BYTES = 144
"""Of a question and of its answer."""

NONCE_BYTES = 16
VERSION = 1
QUESTION_MAGIC, ANSWER_MAGIC = b"SCAQ", b"SCAA"
SIGNING_CONTEXT = b"sealcast ANSWER 1"

FLAG_EXTENDED, FLAG_NEXT, FLAG_PATTERNS = 1, 2, 4

_QUESTION = struct.Struct(f">4sB3x{NONCE_BYTES}sI")
_ANSWER = struct.Struct(f">4sBBH{NONCE_BYTES}s 8sII 8sIII IIHH II")
_NO_KEY_ID = bytes(KEY_ID_BYTES)


@dataclass(frozen=True, slots=True)
class Question:
    """A question: of which channel, with the nonce that its answer repeats."""

    channel: ChannelNumber
    nonce: bytes


@dataclass(frozen=True, slots=True)
class UnverifiedAnswer:
    """An answer as read; nothing of it is believed until `verify_answer` has seen its signature."""

    seal: Seal
    nonce: bytes
    signed: bytes
    signature: bytes


class _Fields(NamedTuple):
    """An answer's fields from the key ID to the signature, in order."""

    current: bytes
    remaining_ms: int
    lifetime_ms: int
    coming: bytes
    switch_ms: int
    opens_ms: int
    closes_ms: int
    ssrc: int
    roc: int
    seq: int
    zero: int
    number: int
    pattern_ms: int


def build_question(question: Question) -> bytes:
    """Return the 144 bytes of a question."""
    head = _QUESTION.pack(QUESTION_MAGIC, VERSION, question.nonce, question.channel)
    return head.ljust(MESSAGE_BYTES, b"\0")


def parse_question(data: bytes) -> Question:
    """Read a question; raises FormatError for anything that `build_question` does not make."""
    if len(data) != MESSAGE_BYTES:
        raise FormatError(f"a question to a sender has {MESSAGE_BYTES} bytes, not {len(data)}")
    _, _, nonce, channel = _QUESTION.unpack_from(data)
    question = Question(ChannelNumber(channel), nonce)
    if build_question(question) != data:
        raise FormatError("not a question to a sender, or of another version")
    return question


def build_answer(seal: Seal, nonce: bytes, sign: Callable[[bytes], bytes]) -> bytes:
    """Return the answer that says what `seal` does; `sign` makes an Ed25519 signature. About 50 µs."""
    coming, window, patterns = seal.next, seal.window or SealWindow(0, 0), seal.patterns
    flags = FLAG_EXTENDED * seal.extended
    after: tuple[bytes, int, int, int] = (_NO_KEY_ID, 0, 0, 0)
    if coming is not None:
        flags |= FLAG_NEXT
        opens_ms, closes_ms = capped_ms(window.opens_in_ms), capped_ms(window.closes_in_ms)
        after = coming.key_id.pack(), capped_ms(coming.switch_in_ms), opens_ms, closes_ms
    pattern = (0, 0)
    if patterns is not None:
        flags |= FLAG_PATTERNS
        pattern = patterns.number, capped_ms(patterns.remaining_ms)
    now = seal.current.pack(), capped_ms(seal.remaining_ms), capped_ms(seal.lifetime_ms)
    counters = seal.ssrc, seal.roc, seal.seq, 0
    body = _ANSWER.pack(ANSWER_MAGIC, VERSION, flags, 0, nonce, *now, *after, *counters, *pattern)
    return body + sign(SIGNING_CONTEXT + body)


def parse_answer(data: bytes) -> UnverifiedAnswer:
    """Read an answer; raises FormatError."""
    if len(data) != MESSAGE_BYTES:
        raise FormatError(f"a sender's answer has {MESSAGE_BYTES} bytes, not {len(data)}")
    magic, version, flags, zero, nonce, *fields = _ANSWER.unpack_from(data)
    if magic != ANSWER_MAGIC or version != VERSION or zero:
        raise FormatError("not a sender's answer, or of another version")
    if flags & ~(FLAG_EXTENDED | FLAG_NEXT | FLAG_PATTERNS):
        raise FormatError("a sender's answer with flags of another version")
    seal = _seal(flags, _Fields._make(fields))
    return UnverifiedAnswer(seal, nonce, data[:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:])


def verify_answer(unverified: UnverifiedAnswer, public_key: Ed25519PublicKey) -> Seal:
    """Return what an answer says; raises AuthenticationError unless the sender of `public_key` signed it."""
    try:
        public_key.verify(unverified.signature, SIGNING_CONTEXT + unverified.signed)
    except InvalidSignature as error:
        raise AuthenticationError("a sender's answer whose signature does not verify") from error
    return unverified.seal


def _seal(flags: int, fields: _Fields) -> Seal:
    """Return the content from its fields; raises FormatError if it contradicts itself."""
    key_id, next_id = KeyId.unpack(fields.current), KeyId.unpack(fields.coming)
    has_next, has_patterns = bool(flags & FLAG_NEXT), bool(flags & FLAG_PATTERNS)
    absent = [fields.zero]
    if not has_next:
        absent += next_id.channel, next_id.epoch, fields.switch_ms, fields.opens_ms, fields.closes_ms
    elif next_id.channel != key_id.channel or next_id <= key_id:
        raise FormatError("a sender's answer whose next key does not follow")
    if not has_patterns:
        absent += fields.number, fields.pattern_ms
    if any(absent):
        raise FormatError("a sender's answer that tells of what it says is not there")
    return Seal(
        ssrc=fields.ssrc,
        current=key_id,
        remaining_ms=fields.remaining_ms,
        lifetime_ms=fields.lifetime_ms,
        roc=fields.roc,
        seq=fields.seq,
        extended=bool(flags & FLAG_EXTENDED),
        next=NextKey(next_id, fields.switch_ms) if has_next else None,
        window=SealWindow(fields.opens_ms, fields.closes_ms) if has_next else None,
        patterns=PatternState(fields.number, fields.pattern_ms) if has_patterns else None,
    )
