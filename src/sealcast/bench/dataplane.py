"""Owns the measurement of sealing and opening: microseconds per 1316-byte packet, in one run.

Each figure is the best of several rounds, taken in turn, so that a machine that changes its speed changes
all of them; read the ratios.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sealcast.core.channel import SALT_BYTES, ChannelSpec
from sealcast.core.ids import ChannelNumber, Epoch, Ssrc
from sealcast.core.ports import NS_PER_S, Clock, Random
from sealcast.core.secret import Secret
from sealcast.keys.lease import Lease, RunSlot
from sealcast.sender.actions import ConsumeSlot, PublishKey
from sealcast.sender.session import Media, SenderSession
from sealcast.wire import rtp, srtp

PAYLOAD_BYTES = 1316
"""Seven transport stream packets."""

BATCH = 45
"""Packets sealed at a call, what one datagram batch of a later transport holds."""

ROUND_PACKETS = 4_500
ROUNDS_MIN = 3


@dataclass(frozen=True, slots=True)
class DataplaneFigures:
    """Microseconds per packet; `*_ratio` to the bare cipher."""

    payload_bytes: int
    rounds: int
    floor_us: float
    seal_us: float
    open_floor_us: float
    open_us: float
    seal_ratio: float
    open_ratio: float


def measure_dataplane(clock: Clock, random: Random, seconds: float) -> DataplaneFigures:
    """Measure for about `seconds`, three rounds at least."""
    payload = random.bytes(PAYLOAD_BYTES)
    session = _session(random, clock.monotonic_ns())
    media = [Media(payload, 0)] * BATCH
    key, packet = _sealed(random, payload)
    cases: dict[str, Callable[[], None]] = {
        "floor": _bare_encrypt(random, payload),
        "seal": lambda: _seal_all(session, media, clock),
        "open_floor": _bare_decrypt(random, payload),
        "open": lambda: _open_all(key, packet),
    }
    best = dict.fromkeys(cases, float("inf"))
    rounds, ends_ns = 0, clock.monotonic_ns() + int(seconds * NS_PER_S)
    while rounds < ROUNDS_MIN or clock.monotonic_ns() < ends_ns:
        for name, run in cases.items():
            started_ns = clock.monotonic_ns()
            run()
            best[name] = min(best[name], (clock.monotonic_ns() - started_ns) / 1e3 / ROUND_PACKETS)
        rounds += 1
    return DataplaneFigures(
        payload_bytes=PAYLOAD_BYTES,
        rounds=rounds,
        floor_us=round(best["floor"], 3),
        seal_us=round(best["seal"], 3),
        open_floor_us=round(best["open_floor"], 3),
        open_us=round(best["open"], 3),
        seal_ratio=round(best["seal"] / best["floor"], 2),
        open_ratio=round(best["open"] / best["open_floor"], 2),
    )


def _bare_encrypt(random: Random, payload: bytes) -> Callable[[], None]:
    encrypt_into = AESGCM(random.bytes(16)).encrypt_into
    out, header = bytearray(PAYLOAD_BYTES + srtp.TAG_BYTES), bytes(rtp.HEADER_BYTES)
    nonces = [struct.pack(">IQ", 0, i) for i in range(ROUND_PACKETS)]

    def run() -> None:
        for nonce in nonces:
            encrypt_into(nonce, payload, header, out)

    return run


def _bare_decrypt(random: Random, payload: bytes) -> Callable[[], None]:
    aead, nonce, header = AESGCM(random.bytes(16)), bytes(12), bytes(rtp.HEADER_BYTES)
    sealed, out = aead.encrypt(nonce, payload, header), bytearray(PAYLOAD_BYTES)

    def run() -> None:
        for _ in range(ROUND_PACKETS):
            aead.decrypt_into(nonce, sealed, header, out)

    return run


def _seal_all(session: SenderSession, media: list[Media], clock: Clock) -> None:
    now = clock.monotonic_ns()
    for _ in range(ROUND_PACKETS // BATCH):
        session.seal(media, now)


def _open_all(key: srtp.StreamKey, packet: bytes) -> None:
    for _ in range(ROUND_PACKETS):
        srtp.open_packet(key, packet, rtp.HEADER_BYTES, 1)


def _sealed(random: Random, payload: bytes) -> tuple[srtp.StreamKey, bytes]:
    key = srtp.derive_rtp(Secret(random.bytes(16)), Secret(random.bytes(SALT_BYTES))).stream(1)
    return key, srtp.seal(key, rtp.pack_header(rtp.PAYLOAD_TYPE_MP2T, 1, 0, 1), payload, 1, bytes(8))


def _session(random: Random, now: int) -> SenderSession:
    """Return a session on air, its key server being this function."""
    spec = ChannelSpec(ChannelNumber(1), "bench", "239.255.0.1", 5004, lifetime_ms=86_400_000)
    lease = Lease(tuple(RunSlot(Ssrc(1 + i), Epoch(1 + i)) for i in range(16)))
    session = SenderSession(
        spec=spec, lease=lease, known={}, sign=lambda _: bytes(64), key_servers=(), random=random, now=now
    )
    while not session.is_on_air:
        action = session.poll_action(now)
        if isinstance(action, PublishKey):
            session.handle_published(action.tek.key_id.epoch, now)
        elif isinstance(action, ConsumeSlot):
            session.handle_consumed(action.epoch, now)
    return session
