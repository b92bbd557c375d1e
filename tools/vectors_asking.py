"""Makes docs/spec/vectors/asking.json: a question to a sender, and answers with much and with little."""

# ruff: noqa: INP001 - beside a program, not in a package

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.testing import SimRandom
from sealcast.wire.asking import NONCE_BYTES, Question, build_answer, build_question
from sealcast.wire.seal import NextKey, PatternState, Seal, SealWindow

Content = dict[str, Any]

CHANNEL = ChannelNumber(7)
SSRC, ROC, SEQ = 0x5EA1CA57, 2, 65_530
FULL = Seal(
    ssrc=SSRC,
    current=KeyId(CHANNEL, Epoch(3)),
    remaining_ms=4_000,
    lifetime_ms=600_000,
    roc=ROC,
    seq=SEQ,
    extended=True,
    next=NextKey(KeyId(CHANNEL, Epoch(4)), 4_000),
    window=SealWindow(1_000, 3_000),
    patterns=PatternState(12, 900),
)
LITTLE = Seal(
    ssrc=SSRC, current=KeyId(CHANNEL, Epoch(3)), remaining_ms=599_999, lifetime_ms=600_000, roc=0, seq=7
)


def asking_vectors(_: object) -> Content:
    """Return a question, and its answers."""
    signer = Ed25519PrivateKey.from_private_bytes(SimRandom("vectors/asking").bytes(32))
    nonce = SimRandom("vectors/nonce").bytes(NONCE_BYTES)
    return {
        "source": "Sealcast's own: docs/spec/asking.md. Fields that are not there are zeros in the answer.",
        "private_key": signer.private_bytes_raw().hex(),
        "public_key": signer.public_key().public_bytes_raw().hex(),
        "channel": CHANNEL,
        "nonce": nonce.hex(),
        "question": build_question(Question(CHANNEL, nonce)).hex(),
        "answers": [
            {"name": name, **_said(seal), "answer": build_answer(seal, nonce, signer.sign).hex()}
            for name, seal in (("all there is", FULL), ("no next key, no patterns", LITTLE))
        ],
    }


def _said(seal: Seal) -> Content:
    """Return what an answer says."""
    said: Content = {
        "extended": seal.extended,
        "key_id": str(seal.current),
        "remaining_ms": seal.remaining_ms,
        "lifetime_ms": seal.lifetime_ms,
        "ssrc": seal.ssrc,
        "roc": seal.roc,
        "seq": seal.seq,
    }
    if seal.next is not None and seal.window is not None:
        said |= {"next": str(seal.next.key_id), "switch_in_ms": seal.next.switch_in_ms}
        said |= {"opens_in_ms": seal.window.opens_in_ms, "closes_in_ms": seal.window.closes_in_ms}
    if seal.patterns is not None:
        said |= {"pattern": seal.patterns.number, "pattern_remaining_ms": seal.patterns.remaining_ms}
    return said
