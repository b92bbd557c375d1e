"""Owns what one key request costs by unicast: the signed request and the sealed grant, as they really are."""

from dataclasses import dataclass

from sealcast.bench.change import KEY_SERVERS, Change
from sealcast.core.ports import Random
from sealcast.core.secret import Secret
from sealcast.device.newkeys import KeyKind, new_keys
from sealcast.keys.material import Tek
from sealcast.keys.schedule import link_of
from sealcast.messages import jose
from sealcast.messages.answers import ChainGrant, FetchWindow, Grant, GrantedKey, SenderKey, StreamState
from sealcast.messages.channels import channel_data
from sealcast.messages.encoding import b64url_encode, encode
from sealcast.messages.jwk import new_signing_pair
from sealcast.messages.material import key_material, update_material
from sealcast.messages.nonces import mint_nonce
from sealcast.messages.operations import KEYS
from sealcast.messages.requests import JTI_BYTES, KeyRequest

OPERATOR, SERVER_ID, DEVICE = "example.tv", "keyserver", "TV-0001"
EVENTS = ("https://keys.example:8444",)
HEARTBEAT_MS = 30_000


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

    The device has the keys that `sealcast enrol` makes unless told otherwise. If the next key follows from
    the one held, the grant has its Ku alone.
    """
    signing, kek = new_keys(KeyKind.ED25519, random)
    jti = b64url_encode(random.bytes(JTI_BYTES))
    request = KeyRequest(
        aud=OPERATOR,
        op=KEYS.name,
        jti=jti,
        nonce=mint_nonce(Secret(random.bytes(32)), 1_800_000_000_000),
        channel=str(change.spec.number),
        held=[str(change.before.key_id)],
    )
    signed = jose.sign(encode(request), signing, kid=DEVICE, typ=jose.TYP_REQUEST)
    server = new_signing_pair(random)
    grant = jose.sign(encode(_grant(change, jti, random)), server, kid=SERVER_ID, typ=jose.TYP_ANSWER)
    sealed = jose.seal(grant.encode(), kek.public(), kid=DEVICE, typ=jose.TYP_SEALED_ANSWER)
    return Exchange(len(signed), len(sealed))


def _grant(change: Change, jti: str, random: Random) -> Grant:
    spec, coming = change.spec, change.coming
    window = change.window
    return Grant(
        jti=jti,
        channel=channel_data(spec),
        keys=[_granted(coming, spec.lifetime_ms)],
        streams=[StreamState(ssrc=change.ssrc, roc=3, seq=50_000, age_ms=2_500)],
        senders=[SenderKey(id="studio", key=new_signing_pair(random).public())],
        window=FetchWindow(opens_in_ms=window.opens_in_ms, closes_in_ms=window.closes_in_ms),
        key_servers=list(KEY_SERVERS),
        spread_ms=4_000,
        heartbeat_ms=HEARTBEAT_MS,
        events=list(EVENTS),
        chain=_chain(coming),
    )


def _granted(tek: Tek, lifetime_ms: int) -> GrantedKey:
    follows = tek.origin is not None and tek.origin.follows is not None
    material = update_material(tek) if follows else key_material(tek)
    return GrantedKey(material=material, state="next", remaining_ms=lifetime_ms, lifetime_ms=lifetime_ms)


def _chain(tek: Tek) -> ChainGrant | None:
    if tek.origin is None or link_of(tek) is None:
        return None
    return ChainGrant(first_epoch=tek.key_id.epoch, fresh_at=tek.origin.fresh_at)
