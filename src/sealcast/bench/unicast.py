"""Owns what one key request costs by unicast: the signed request and the sealed grant, as they really are."""

from dataclasses import dataclass

from sealcast.bench.change import KEY_SERVERS, Change
from sealcast.core.ports import Random
from sealcast.core.secret import Secret
from sealcast.device.newkeys import KeyKind, new_keys
from sealcast.keys.material import Tek
from sealcast.keys.table import KeyState
from sealcast.keyserver.air import AirReport
from sealcast.keyserver.service_keys import OnAir, make_grant
from sealcast.keyserver.values import ChannelView, EpochRow
from sealcast.messages import jose
from sealcast.messages.answers import Grant, SenderKey
from sealcast.messages.encoding import b64url_encode, encode
from sealcast.messages.jwk import new_signing_pair
from sealcast.messages.nonces import mint_nonce
from sealcast.messages.operations import KEYS
from sealcast.messages.requests import JTI_BYTES, KeyRequest
from sealcast.messages.sealedanswers import seal_answer

OPERATOR, SERVER_ID, SENDER, DEVICE = "example.tv", "keyserver", "studio", "TV-0001"
EVENTS = ("https://keys.example:8444",)
HEARTBEAT_MS = 30_000
AUDIENCE = 100_000
WALL_MS = 1_800_000_000_000
"""Some instant of the years to come: its digits count."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """Bytes of one request and its answer: HTTP bodies, without what HTTP, TLS and TCP add."""

    request_bytes: int
    answer_bytes: int

    @property
    def total_bytes(self) -> int:
        """Both."""
        return self.request_bytes + self.answer_bytes


def weigh_exchange(change: Change, random: Random) -> Exchange:
    """Make the request of a device that holds the key on air, and the grant of the next; return their sizes.

    The device has the keys that `sealcast enrol` makes unless told otherwise, and asks while the window is
    open.
    """
    signing, kek = new_keys(KeyKind.ED25519, random)
    jti = b64url_encode(random.bytes(JTI_BYTES))
    request = KeyRequest(
        aud=OPERATOR,
        op=KEYS.name,
        jti=jti,
        nonce=mint_nonce(Secret(random.bytes(32)), WALL_MS),
        channel=str(change.spec.number),
        held=[str(change.before.key_id)],
    )
    signed = jose.sign(encode(request), signing, kid=DEVICE, typ=jose.TYP_REQUEST)
    grant = _grant(change, jti, random)
    sealed = seal_answer(encode(grant), kek.public(), kid=DEVICE, signing=new_signing_pair(random))
    return Exchange(len(signed), len(sealed))


def _grant(change: Change, jti: str, random: Random) -> Grant:
    """Have the key server make the grant, of a channel on air whose next key is published."""
    coming, notice = change.coming, change.packets[0].seal
    epochs = (_row(change, change.before, KeyState.ACTIVE), _row(change, coming, KeyState.PUBLISHED))
    sender_key = SenderKey(id=SENDER, key=new_signing_pair(random).public())
    report = AirReport(
        epoch=change.before.key_id.epoch,
        remaining_ms=notice.remaining_ms - change.window.opens_in_ms,
        lifetime_ms=notice.lifetime_ms,
        extended=False,
        roc=notice.roc,
        seq=notice.seq,
        received_ns=0,
    )
    return make_grant(
        ChannelView(change.spec, (SENDER,), (sender_key,), epochs),
        OnAir(report, {change.ssrc: report}),
        {coming.key_id.epoch: coming},
        jti=jti,
        key_servers=KEY_SERVERS,
        audience=AUDIENCE,
        now=0,
        heartbeat_ms=HEARTBEAT_MS,
        events=EVENTS,
        held={change.before.key_id},
    )


def _row(change: Change, tek: Tek, state: KeyState) -> EpochRow:
    origin = tek.origin
    follows = origin.follows if origin is not None else None
    return EpochRow(
        epoch=tek.key_id.epoch,
        sender=SENDER,
        ssrc=change.ssrc,
        consumed=state is KeyState.ACTIVE,
        state=state,
        has_key=True,
        follows=follows.epoch if follows is not None else None,
        fresh_at=origin.fresh_at if origin is not None else None,
    )
