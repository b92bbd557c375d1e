"""Owns a sender and a receiver that share a key, for measurements: both real, without a key server."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealcast.core.channel import ChannelSpec, Suite
from sealcast.core.ids import ChannelNumber, Epoch, Ssrc
from sealcast.core.ports import Random
from sealcast.core.scrambling import PatternPolicy
from sealcast.keys.lease import Lease, RunSlot
from sealcast.keys.material import Tek
from sealcast.messages.answers import Grant, GrantedKey, SenderKey, StreamState
from sealcast.messages.channels import channel_data
from sealcast.messages.encoding import b64url_encode
from sealcast.messages.jwk import Jwk
from sealcast.messages.material import key_material
from sealcast.receiver.session import ReceiverSession
from sealcast.sender.actions import ConsumeSlot, PublishKey
from sealcast.sender.session import SenderSession
from sealcast.wire.opening import RECEIVED_BYTES_MAX
from sealcast.wire.sealing import SealedBatch, batch_limit

PAYLOAD_BYTES = 1316
"""Seven transport stream packets."""

BATCH = batch_limit(PAYLOAD_BYTES)
GROUP, PORT = "239.255.83.67", 5004
LIFETIME_MS = 86_400_000


class Stage:
    """One channel whose sender is on air and whose receiver holds the key; scrambled if a policy is given."""

    def __init__(
        self,
        random: Random,
        now: int,
        payload_bytes: int = PAYLOAD_BYTES,
        patterns: PatternPolicy | None = None,
    ) -> None:
        suite = Suite.AES_128_GCM if patterns is None else Suite.SCRAMBLE
        spec = ChannelSpec(
            ChannelNumber(1), "bench", GROUP, PORT, suite=suite, lifetime_ms=LIFETIME_MS, patterns=patterns
        )
        signer = Ed25519PrivateKey.from_private_bytes(random.bytes(32))
        lease = Lease(tuple(RunSlot(Ssrc(1 + i), Epoch(1 + i)) for i in range(16)))
        self.sender = SenderSession(
            spec=spec,
            lease=lease,
            known={},
            sign=signer.sign,
            key_servers=(),
            random=random,
            now=now,
            first_seq=0,
        )
        self.tek = tek = _put_on_air(self.sender, now)
        self.receiver = ReceiverSession(channel="bench", reorder_ms=0, random=random, now=now)
        self.receiver.handle_grant(_grant(spec, tek, self.sender.ssrc, signer), now)
        self.scratch = memoryview(bytearray(RECEIVED_BYTES_MAX))
        self.batch_packets = batch_limit(payload_bytes)
        self._payloads = [random.bytes(payload_bytes)] * self.batch_packets
        self._timestamps = [0] * self.batch_packets
        self._now = now

    def seal(self, count: int) -> SealedBatch:
        """Seal that many payloads, at most `batch_packets`."""
        return self.sender.seal_batch(self._payloads[:count], self._timestamps, self._now)

    def tell(self, now: int) -> None:
        """Let the receiver hear the SEAL packet that is due: one that descrambles believes nothing else."""
        for packet in self.sender.poll_control(now):
            self.receiver.handle_control(packet, now)


def _put_on_air(session: SenderSession, now: int) -> Tek:
    """Be the key server until the first epoch is on air; return its key."""
    tek: Tek | None = None
    while not session.is_on_air:
        action = session.poll_action(now)
        if isinstance(action, PublishKey):
            tek = tek or action.tek
            session.handle_published(action.tek.key_id.epoch, now)
        elif isinstance(action, ConsumeSlot):
            session.handle_consumed(action.epoch, now)
    if tek is None:
        raise RuntimeError("a session went on air without a key")
    return tek


def _grant(spec: ChannelSpec, tek: Tek, ssrc: int, signer: Ed25519PrivateKey) -> Grant:
    key = GrantedKey(
        material=key_material(tek), state="current", remaining_ms=LIFETIME_MS, lifetime_ms=LIFETIME_MS
    )
    stream = StreamState(ssrc=ssrc, roc=0, seq=0, age_ms=0)
    public = b64url_encode(signer.public_key().public_bytes_raw())
    sender = SenderKey(id="bench", key=Jwk(kty="OKP", crv="Ed25519", x=public))
    return Grant(jti="bench", channel=channel_data(spec), keys=[key], streams=[stream], senders=[sender])
