"""Owns the targets of scrambled channels: packets, rules, policies, and a receiver that is sent anything."""

from fuzz.targets import Script, Target, local, remote
from sealcast.core.ids import KeyId
from sealcast.core.scrambling import PatternPolicy
from sealcast.receiver.session import ReceiverSession
from sealcast.wire import rtp, srtcp, srtp
from sealcast.wire import seal as seal_packet
from sealcast.wire.patterns import Rule
from sealcast.wire.scramble import pack_trailer, parse_packet
from simulation.parts import MS, SIGNER, make_grant, make_key, make_receiver, make_spec
from wire.patterning import scrambled

SSRC = 0x5EA10001
POLICIES = ("single;128;100ms", "two-times;32;1p", "a,~a1+a7@13;61;500B,1000ms")
TEKS = [make_key(epoch) for epoch in range(3)]
CONTROL_KEYS = [srtp.derive_rtcp(tek.key, tek.salt) for tek in TEKS]
STEPS_MAX = 100


def targets() -> dict[str, Target]:
    """Return the targets of this file."""
    packet = _packet(Script(bytes([1, 0, 0, 0, 2, 0, 9, 5]) + b"words"))
    told = bytes([0]) + bytes([1, 0, 0, 0, 2, 0, 7])
    data = bytes([1]) + bytes([1, 0, 0, 0, 2, 0, 9, 5]) + b"words"
    train = bytes([2, 3]) + (bytes([1, 0, 0, 0, 2, 0, 9, 5]) + b"words") * 3
    return {
        "scrambled": Target(_drive, (), (b"\0" + told + data * 2 + train, b"\1" + data + told + train)),
        "scrambled_packet": remote(parse_packet, packet),
        "pattern_rule": remote(
            lambda data: str(Rule.parse(data.decode("latin-1"))), b"a,~a1+b7@13", b"single"
        ),
        "pattern_policy": local(lambda data: PatternPolicy.parse(data.decode("latin-1")), b"single;4;1p,1ms"),
    }


def _packet(script: Script) -> bytes:
    """Return a packet under any number of a key, with any SEQ and payload."""
    epoch, number, seq = script.number() % len(TEKS), script.number(4), script.number(2)
    header = rtp.pack_header(33, seq, 0, SSRC)
    return header + script.chunk() + pack_trailer(number, TEKS[epoch].key_id.pack())


def _told(script: Script, index: int) -> bytes:
    """Return a SEAL packet that the sender signed, with any pattern number."""
    epoch, number, seq = script.number() % len(TEKS), script.number(4), script.number(2)
    key_id: KeyId = TEKS[epoch].key_id
    state = seal_packet.PatternState(number, 1_000)
    seal = seal_packet.Seal(SSRC, key_id, 1_000, 10_000, roc=0, seq=seq, patterns=state)
    word = srtcp.index_word(index)
    compound = seal_packet.build_seal(seal, seal_packet.SenderCounts(1, 2, 3), "sender", word, SIGNER.sign)
    return srtcp.seal_control(CONTROL_KEYS[epoch], compound, SSRC, index, key_id.pack())


def _drive(data: bytes) -> None:
    """Send a session what the script says; whatever it makes of it, every packet has one fate."""
    script, now = Script(data), 0
    policy = POLICIES[script.number() % len(POLICIES)]
    session = make_receiver()
    session.poll_fetch(0)
    session.handle_grant(make_grant(scrambled(make_spec(), policy), TEKS[0], TEKS[1]), 0)
    for index in range(1, STEPS_MAX):
        if not script:
            break
        now += _do_one(script, session, index, now)
        session.poll_payloads(now)
        stats = session.stats
        fates = stats.opened + stats.refused + stats.foreign + stats.dropped + stats.replayed
        assert stats.received == fates + session.state(now).held_back
    session.drain(now)
    session.erase()


def _do_one(script: Script, session: ReceiverSession, index: int, now: int) -> int:
    """Do a step of a script; return by how much it moved the time."""
    match script.number() % 5:
        case 0:
            session.handle_control(_told(script, index), now)
        case 1:
            session.handle_data([_packet(script)], now)
        case 2:
            packets = [_packet(script) for _ in range(script.number() % 16)]
            train = b"".join(packets)
            session.train_buffer[: len(train)] = train
            session.handle_train(len(train), len(packets[0]) if packets else 1, now)
        case 3:
            session.handle_data([script.chunk()], now)
        case _:
            session.handle_timeout(now)
            return script.number(2) * MS
    return 0
