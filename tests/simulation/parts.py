"""Owns the parts that tests of sessions are made of: a channel, keys, grants, a sender that is on air."""

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealcast.core.channel import ChannelSpec, KeyMaker, ScheduleKind, Suite, Threshold
from sealcast.core.ids import ChannelNumber, Epoch, KeyId, Ssrc
from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.keys.lease import Lease, RunSlot
from sealcast.keys.material import Tek, make_tek
from sealcast.keys.policy import fetch_window
from sealcast.messages.answers import FetchWindow, Grant, GrantedKey, KeyMaterial, SenderKey, StreamState
from sealcast.messages.channels import channel_data
from sealcast.messages.encoding import b64url_encode
from sealcast.messages.jwk import Jwk
from sealcast.messages.material import key_material
from sealcast.messages.scrambling import default_policy
from sealcast.receiver.session import ReceiverSession
from sealcast.sender.actions import Action, ConsumeSlot, GenerateKey, PublishKey, RenewLease, ReportAir
from sealcast.sender.reports import REPORT_NS
from sealcast.sender.session import SenderSession
from sealcast.testing import Bursts, Link, SimRandom

CHANNEL = 7
SECOND = NS_PER_S
MS = NS_PER_MS

EVERYTHING = Link(
    loss=0.05,
    bursts=Bursts.of(0.05, 10),
    jitter_ns=5 * MS,
    reorder=0.05,
    reorder_ns=10 * MS,
    duplicate=0.05,
)
"""A link on which all goes wrong that can."""
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32))
PAYLOAD_BYTES = 1316


def make_spec(
    lifetime_ms: int = 10_000,
    *,
    keys: KeyMaker = KeyMaker.SENDER,
    publish_at: str = "50%",
    prefetch_at: str = "25%",
    suite: Suite = Suite.AES_128_GCM,
    fresh_epochs: int | None = None,
) -> ChannelSpec:
    """Return a channel whose keys live `lifetime_ms`; of a chain with a fresh start each `fresh_epochs`."""
    return ChannelSpec(
        number=ChannelNumber(CHANNEL),
        name="news",
        group="239.1.2.3",
        port=5004,
        suite=suite,
        keys=keys,
        lifetime_ms=lifetime_ms,
        publish_at=Threshold.parse(publish_at),
        prefetch_at=Threshold.parse(prefetch_at),
        patterns=default_policy("film") if suite is Suite.SCRAMBLE else None,
        schedule=ScheduleKind.FETCH if fresh_epochs is None else ScheduleKind.CHAIN,
        fresh_every_ms=lifetime_ms * (fresh_epochs or 1),
    )


def make_slots(first: int, count: int) -> tuple[RunSlot, ...]:
    """Return slots of consecutive epochs, each with its own SSRC."""
    return tuple(RunSlot(Ssrc(0x5EA10000 + epoch), Epoch(epoch)) for epoch in range(first, first + count))


def make_key(epoch: int, suite: Suite = Suite.AES_128_GCM, seed: str = "keys") -> Tek:
    """Return the key of an epoch; the same for the same arguments."""
    key_id = KeyId(ChannelNumber(CHANNEL), Epoch(epoch))
    return make_tek(key_id, suite, SimRandom(f"{seed}/{epoch}"))


def make_sender(
    spec: ChannelSpec,
    now: int = 0,
    *,
    slots: Sequence[RunSlot] | None = None,
    known: dict[Epoch, Tek] | None = None,
    first_seq: int | None = 0,
    seed: str = "sender",
    signer: Ed25519PrivateKey = SIGNER,
    key_servers: Sequence[str] = ("https://keys.example:8443",),
    report_ns: int = REPORT_NS,
) -> SenderSession:
    """Return a sender's session that has done nothing yet."""
    return SenderSession(
        spec=spec,
        lease=Lease(tuple(make_slots(1, 16) if slots is None else slots)),
        known=known or {},
        sign=signer.sign,
        key_servers=key_servers,
        random=SimRandom(seed),
        now=now,
        first_seq=first_seq,
        report_ns=report_ns,
    )


def make_receiver(now: int = 0, *, channel: str | None = "news", reorder_ms: int = 20) -> ReceiverSession:
    """Return a receiver's session that has done nothing yet."""
    return ReceiverSession(channel=channel, reorder_ms=reorder_ms, random=SimRandom("receiver"), now=now)


def answer(session: SenderSession, action: Action, now: int, next_slot: int = 17) -> None:
    """Answer an action at once with yes."""
    match action:
        case RenewLease():
            session.handle_lease(make_slots(next_slot, 16), now)
        case PublishKey():
            session.handle_published(action.tek.key_id.epoch, now)
        case GenerateKey():
            session.handle_generated(make_key(action.epoch), now)
        case ConsumeSlot():
            session.handle_consumed(action.epoch, now)
        case ReportAir():
            session.handle_reported(action, now)


def serve(session: SenderSession, now: int) -> list[Action]:
    """Answer all that a sender asks for now; return what that was."""
    actions: list[Action] = []
    while (action := session.poll_action(now)) is not None:
        assert len(actions) < 50, "a sender that never stops asking"
        actions.append(copy_of(action))
        answer(session, action, now)
    return actions


def copy_of(action: Action) -> Action:
    """Return the action with a key of its own, which outlives the sender's."""
    return PublishKey(copy_key(action.tek)) if isinstance(action, PublishKey) else action


def copy_key(tek: Tek) -> Tek:
    """Return a key that is not erased with the one given."""
    return tek.copy()


@dataclass(frozen=True, slots=True)
class Media:
    """One datagram's payload, and what its RTP header says; `skipped` packets are left out before it."""

    payload: bytes
    timestamp: int
    skipped: int = 0


def seal(session: SenderSession, media: Sequence[Media], now: int) -> list[bytes]:
    """Return the packets for `media`, each sealed by itself."""
    return [
        bytes(session.seal_batch((each.payload,), (each.timestamp,), now, skipped=each.skipped).data)
        for each in media
    ]


def media(*numbers: int) -> list[Media]:
    """Return payloads, each of which says its number."""
    return [Media(payload(number), number * 1_000) for number in numbers]


def payload(number: int, size_bytes: int = PAYLOAD_BYTES) -> bytes:
    """Return the payload of a packet number: no two are alike."""
    return number.to_bytes(8, "big") + bytes(size_bytes - 8)


def number_of(payload_bytes: bytes) -> int:
    """Return the number that a payload says."""
    return int.from_bytes(payload_bytes[:8], "big")


def material_of(tek: Tek) -> KeyMaterial:
    """Return a key as messages carry it."""
    return key_material(tek)


def sender_key(signer: Ed25519PrivateKey = SIGNER) -> SenderKey:
    """Return a sender as grants name it."""
    public = b64url_encode(signer.public_key().public_bytes_raw())
    return SenderKey(id="studio", key=Jwk(kty="OKP", crv="Ed25519", x=public))


def make_grant(
    spec: ChannelSpec,
    current: Tek | None,
    following: Tek | None = None,
    *,
    remaining_ms: int | None = None,
    streams: Sequence[StreamState] = (),
    has_window: bool = True,
    extended: bool = False,
    spread: int = 0,
) -> Grant:
    """Return a grant of the key on air and perhaps the next."""
    left_ms = spec.lifetime_ms if remaining_ms is None else remaining_ms
    keys = []
    if current is not None:
        keys.append(
            GrantedKey(
                material=material_of(current),
                state="current",
                remaining_ms=left_ms,
                lifetime_ms=spec.lifetime_ms,
                extended=extended,
            )
        )
    if following is not None:
        keys.append(
            GrantedKey(
                material=material_of(following),
                state="next",
                remaining_ms=spec.lifetime_ms,
                lifetime_ms=spec.lifetime_ms,
            )
        )
    window = fetch_window(spec, left_ms)
    return Grant(
        jti="1",
        channel=channel_data(spec),
        keys=keys,
        streams=list(streams),
        senders=[sender_key()],
        window=FetchWindow(opens_in_ms=window.opens_in_ms, closes_in_ms=window.closes_in_ms)
        if has_window and current is not None
        else None,
        spread_ms=spread,
    )


def on_air(session: SenderSession, now: int) -> Tek:
    """Bring a sender on air; return its key."""
    for action in serve(session, now):
        if isinstance(action, PublishKey):
            assert session.is_on_air
            return action.tek
    raise AssertionError("the sender published no key")
