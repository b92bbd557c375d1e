"""Owns the target of a receiver that follows a chain: SEAL packets of its sender with any rekey messages."""

from dataclasses import replace

from fuzz.targets import Script, Target
from receiver.chained import Chain, held, joined, key_id
from sealcast.core.update import WRAPPED_BYTES
from sealcast.receiver.session import ReceiverSession
from sealcast.wire.rekey import KIND_CHAIN, pack_rekey
from simulation.parts import MS

CHAIN = Chain()
EPOCHS = 9
MESSAGES_MAX = 3
STEPS_MAX = 100


def targets() -> dict[str, Target]:
    """Return the targets of this file."""
    right = b"".join(bytes([1, 0, epoch - 1, epoch - 2]) for epoch in (2, 3, 4))
    other = bytes([3, 1, 1, 1, 3, 3, 1, 4, 7, 7, 7, 7, 2, 1, 3, 0, 0, 0, 0])
    return {"receiver_updates": Target(_follow, (), (right, other, right + other))}


def _follow(data: bytes) -> None:
    """Send a receiver that joined what the script says; look at what it holds after each packet."""
    script, session = Script(data), joined(CHAIN)
    for step in range(STEPS_MAX):
        if not script:
            break
        messages = [_message(script) for _ in range(script.number() % (MESSAGES_MAX + 1))]
        current = 1 + script.number() % EPOCHS
        session.handle_control(CHAIN.seal(current, *messages), step * MS)
        _look_at(session)
    session.erase()
    assert not held(session)


def _message(script: Script) -> bytes:
    """Return a rekey message: the sender's own, with other parts, or just bytes."""
    kind, epoch = script.number() % 4, 1 + script.number() % EPOCHS
    update = CHAIN.updates.get(epoch)
    if kind == 2 or update is None:
        return bytes([KIND_CHAIN]) + script.chunk()
    if kind == 1:
        update = replace(update, follows=key_id(script.number()), key_id=key_id(script.number()))
    if kind == 3:
        update = replace(update, wrapped=script.chunk()[:WRAPPED_BYTES].ljust(WRAPPED_BYTES, b"\0"))
    return pack_rekey(update)


def _look_at(session: ReceiverSession) -> None:
    """Check that few keys are held, and that none has its C whose next one is there, or its Ku."""
    ring = session._ring
    teks = [tek for each in ring.held if (tek := ring.tek(each)) is not None]
    assert 1 <= len(teks) <= 4
    origins = {tek.key_id: tek.origin for tek in teks if tek.origin is not None}
    for origin in origins.values():
        assert not origin.update
        before = origins.get(origin.follows) if origin.follows is not None else None
        assert before is None or not len(before.link)
