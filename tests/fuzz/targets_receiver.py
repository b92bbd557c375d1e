"""Owns the targets of a receiver as a whole: a real session, to which anything is sent in any order."""

import dataclasses

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fuzz.targets import Script, Target, remote
from sealcast.core.channel import Framing, Suite
from sealcast.core.errors import RemoteError
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.core.scrambling import PatternPolicy
from sealcast.messages.answers import Grant, StreamState
from sealcast.messages.encoding import decode, encode
from sealcast.receiver.session import ReceiverSession
from sealcast.wire import rtp, srtcp, srtp
from sealcast.wire import seal as seal_packet
from simulation.parts import CHANNEL, MS, SIGNER, make_grant, make_key, make_receiver, make_spec, payload
from wire.single import seal_single

SSRC, OTHER_SSRC = 0x5EA10001, 0x5EA10002
PAYLOAD_BYTES = 188
EPOCHS = 4
TEKS = [make_key(epoch) for epoch in range(EPOCHS)]
DATA_KEYS = [srtp.derive_rtp(tek.key, tek.salt) for tek in TEKS]
CONTROL_KEYS = [srtp.derive_rtcp(tek.key, tek.salt) for tek in TEKS]
PAYLOADS = {payload(number, PAYLOAD_BYTES) for number in range(256)}
STEPS_MAX = 200

SEALED = dataclasses.replace(make_spec(10_000), framing=Framing.RTP, ask="127.0.0.1:9")
SCRAMBLED = dataclasses.replace(
    SEALED, suite=Suite.SCRAMBLE, patterns=PatternPolicy("inverted", 32, after_ms=300)
)
KEYLESS = (SEALED, SCRAMBLED, dataclasses.replace(SCRAMBLED, framing=Framing.UDP))
WORD = seal_packet.Seal(
    ssrc=SSRC,
    current=TEKS[1].key_id,
    remaining_ms=100,
    lifetime_ms=10_000,
    roc=0,
    seq=5,
    patterns=seal_packet.PatternState(3, 100),
)


def targets() -> dict[str, Target]:
    """Return the targets of this file."""
    grant = encode(_grant(1))
    join = bytes([0, 1, 0])
    data = bytes([1, 1, 0, 5, 0, 1, 2])
    control = bytes([2, 1, 0, 0, 0, 9]) + bytes(30)
    train = bytes([3, 4]) + b"".join(bytes([1, 0, number, 0, 1, number]) for number in range(5, 9))
    return {
        "grant": remote(_take_grant, grant, encode(_grant(2))),
        "receiver": Target(
            _drive, (), (join + data * 3 + control + train, data + control + join + bytes([6, 9, 9]))
        ),
        "receiver_data": Target(_receive_data, (), (_packet(Script(data[1:])),)),
        "receiver_keyless": Target(_receive_keyless, (), (_packet(Script(data[1:])), b"\x47" + bytes(187))),
        "receiver_control": Target(_receive_control, (), (_control(Script(control[1:])),)),
    }


def _grant(epoch: int) -> Grant:
    streams = [StreamState(ssrc=SSRC, roc=0, seq=0, age_ms=0)]
    following = TEKS[epoch + 1] if epoch + 1 < EPOCHS else None
    return make_grant(make_spec(10_000), TEKS[epoch], following, streams=streams)


def _joined() -> ReceiverSession:
    session = make_receiver()
    session.poll_fetch(0)
    session.handle_grant(_grant(1), 0)
    return session


def _packet(script: Script) -> bytes:
    """Return a packet that a sender sealed, with whatever counters; the payload is one of `PAYLOADS`."""
    epoch, number, seq = script.number() % EPOCHS, script.number(), script.number(2)
    roc, content = script.number(), script.number()
    ssrc = OTHER_SSRC if number % 16 == 15 else SSRC
    header = rtp.pack_header(33, seq, 0, ssrc)
    key = DATA_KEYS[epoch].stream(ssrc)
    mki = TEKS[epoch].key_id.pack()
    return seal_single(key, header, payload(content, PAYLOAD_BYTES), roc << 16 | seq, mki)


def _control(script: Script) -> bytes:
    """Return a control packet that a registered sender signed and sealed, whatever it says."""
    epoch, index, flags = script.number() % EPOCHS, script.number(4) & srtcp.INDEX_MAX, script.number()
    next_id = KeyId(ChannelNumber(CHANNEL if flags & 8 else script.number(4)), Epoch(script.number()))
    seal = seal_packet.Seal(
        ssrc=OTHER_SSRC if flags & 1 else SSRC,
        current=TEKS[epoch].key_id,
        remaining_ms=script.number(4),
        lifetime_ms=script.number(4),
        roc=script.number(4),
        seq=script.number(2),
        extended=bool(flags & 2),
        next=seal_packet.NextKey(next_id, script.number(4)) if flags & 4 else None,
        window=seal_packet.SealWindow(script.number(4), script.number(4)) if flags & 16 else None,
        key_servers=(script.chunk().decode("latin-1"),) if flags & 32 else (),
        bye=bool(flags & 64),
    )
    word = srtcp.index_word(index)
    signer = SIGNER if flags & 128 == 0 else Ed25519PrivateKey.from_private_bytes(bytes(32))
    compound = seal_packet.build_seal(seal, seal_packet.SenderCounts(1, 2, 3), "sender", word, signer.sign)
    return srtcp.seal_control(CONTROL_KEYS[epoch], compound, seal.ssrc, index, TEKS[epoch].key_id.pack())


def _damaged(packet: bytes, script: Script) -> bytes:
    """Return a packet with some bytes overwritten, put in, or cut off behind."""
    at, cut = script.number(), script.number()
    changed = packet[:at] + script.chunk() + packet[at + cut :]
    return changed[: len(changed) - script.number() % 64]


def _drive(data: bytes) -> None:
    """Send a session what the script says; what comes out was sealed by a sender."""
    script, session, now = Script(data), make_receiver(), 0
    for _ in range(STEPS_MAX):
        if not script:
            break
        now += _do_one(STEPS[script.number() % len(STEPS)], script, session, now)
        _look_at(session, now)
    session.drain(now)
    session.erase()


STEPS = (
    "grant", "packet", "control", "train", "damaged packet", "damaged control", "time", "failure", "bytes",
    "damaged train",
)  # fmt: skip


def _do_one(step: str, script: Script, session: ReceiverSession, now: int) -> int:
    """Do a step of a script; return by how much it moved the time."""
    match step:
        case "grant":
            session.handle_grant(_grant(script.number() % EPOCHS), now)
        case "packet" | "damaged packet" | "bytes":
            session.handle_data([_any_packet(step, script)], now)
        case "control":
            session.handle_control(_control(script), now)
        case "damaged control":
            session.handle_control(_damaged(_control(script), script), now)
        case "train":
            _send_train(session, [_packet(script) for _ in range(script.number() % 16)], now)
        case "damaged train":
            _send_train(session, [_damaged(_packet(script), script)], now)
        case "failure":
            session.handle_fetch_failed(now, script.number(4) or None)
        case _:
            session.handle_timeout(now)
            return script.number(2) * MS
    return 0


def _any_packet(step: str, script: Script) -> bytes:
    if step == "bytes":
        return script.chunk()
    packet = _packet(script)
    return packet if step == "packet" else _damaged(packet, script)


def _send_train(session: ReceiverSession, packets: list[bytes], now: int) -> None:
    train = b"".join(packets)
    session.train_buffer[: len(train)] = train
    session.handle_train(len(train), len(packets[0]) if packets and packets[0] else 1, now)


def _look_at(session: ReceiverSession, now: int) -> None:
    """Take all outputs and look at all getters."""
    assert PAYLOADS.issuperset(session.poll_payloads(now))
    session.poll_fetch(now)
    session.next_timeout()
    session.is_over(now)
    session.opened_since(now)
    state = session.state(now)
    assert state.remaining_ms >= 0
    assert state.held_back >= 0
    assert session.stats.opened <= session.stats.received


def _receive_data(packet: bytes) -> None:
    """Send one datagram to receivers that have a key and that have none."""
    for session in (_joined(), make_receiver(channel=None)):
        session.handle_data([packet], 0)
        _send_train(session, [packet], 0)
        _look_at(session, 100 * MS)


def _receive_keyless(packet: bytes) -> None:
    """Send one datagram to receivers of streams without key ID, before and after the sender's word."""
    for spec in KEYLESS:
        session = make_receiver()
        session.poll_fetch(0)
        session.handle_grant(make_grant(spec, make_key(1, spec.suite), make_key(2, spec.suite)), 0)
        for now in (MS, 200 * MS, 20_000 * MS):
            session.handle_data([packet, packet], now)
            _send_train(session, [packet], now)
            _look_at(session, now)
            session.handle_told(WORD, now)
        session.handle_timeout(60_000 * MS)
        assert not session.state(60_000 * MS).held_back


def _receive_control(packet: bytes) -> None:
    """Send one control packet to receivers that have a key and that have none."""
    for session in (_joined(), make_receiver(channel=None)):
        session.handle_control(packet, 0)
        session.handle_control(packet, MS)
        _look_at(session, 100 * MS)


def _take_grant(data: bytes) -> None:
    """Take any grant before and after a good one, and go on as a receiver does."""
    grant = decode(data, Grant)
    fault: RemoteError | None = None
    for session in (make_receiver(), _joined()):
        session.poll_fetch(0)
        try:
            session.handle_grant(grant, 0)
        except RemoteError as error:
            fault = error
        packets = Script(bytes([1, 0, 0, 5, 0, 1]))
        session.handle_data([_packet(packets)], MS)
        for now in (MS, 100 * MS, 60_000 * MS):
            session.handle_timeout(now)
            _look_at(session, now)
    if fault is not None:
        raise fault
