"""Owns the targets by unicast: tokens, keys, requests, answers, problems, invitations, certificates."""

import contextlib
from collections.abc import Callable
from typing import Any

import msgspec

from fuzz.seeds import (
    CLIENT,
    DEVICE,
    JTI,
    KEYS,
    NONCE_KEY,
    NOW_MS,
    RANDOM,
    RSA_PUBLIC,
    SERVER_KEYS,
    example_bytes,
)
from fuzz.targets import Read, Target, remote
from sealcast.client.enrolment import _document
from sealcast.client.limits import RETRY_AFTER_S_MAX
from sealcast.client.refusals import refusal_of
from sealcast.client.transfer import Reply, _pause
from sealcast.core.errors import AuthenticationError, RemoteError, UnreachableError, UsageError
from sealcast.device.certified import check_certificates
from sealcast.device.csr import make_csr
from sealcast.messages import answers, channels, enrolment, jose, jwk, material, nonces, operations, requests
from sealcast.messages.channels import ChannelData
from sealcast.messages.encoding import b64url_decode, b64url_encode, decode, encode
from sealcast.messages.jwk import Jwk
from sealcast.messages.problems import Problem, problem, problem_name
from sealcast.messages.sealedanswers import seal_answer
from sealcast.server.certificates import make_ca, make_issuer
from sealcast.server.issuing import Issuer, read_csr
from sealcast.server.newcomers import newcomer_keys

SIGNERS = [key for key in KEYS.values() if (key.kty, key.crv) in jwk.SIGNING_ALGORITHMS]
OPENERS = [key for key in KEYS.values() if (key.kty, key.crv) in jwk.SEALING_ALGORITHMS]
GRANTED = answers.KeyMaterial(key_id="0" * 16, suite="aes-128-gcm", key=bytes(16), salt=bytes(12))
CHANNEL = ChannelData(name="news", group="239.1.2.3", port=5004)
NONCE = nonces.mint_nonce(NONCE_KEY, NOW_MS)
INVITATION = enrolment.Invitation("https://k:1", b64url_encode(bytes(16)), b64url_encode(bytes(32)))


def targets() -> dict[str, Target]:
    """Return the targets of this file."""
    csr = make_csr(KEYS["ed25519"])
    kek = KEYS["x25519"].public()
    enrol = encode(enrolment.EnrolRequest(aud="", op="", jti=JTI, nonce="", token="", csr=csr, kek=kek))
    keys = [*KEYS.values(), *(key.public() for key in KEYS.values() if key.kty != "oct"), RSA_PUBLIC]
    kinds = [chr(at).encode() + example_bytes(each.request) for at, each in enumerate(operations.ALL)]
    said = [chr(at).encode() + example_bytes(each.answer) for at, each in enumerate(operations.ALL)]
    return {
        "jose_peek": remote(jose.peek, _signed(0)[1:]),
        "jose_payload": remote(jose.unverified_payload, _signed(0)[1:]),
        "jose_verify": remote(_verify, *(_signed(at) for at in range(len(SIGNERS)))),
        "jose_unseal": remote(_unseal, *(_sealed(at) for at in range(len(OPENERS)))),
        "jwk": remote(_use_key, *(encode(key) for key in keys)),
        "registered_keys": remote(_decoding(requests.RegisteredKeys), encode(SERVER_KEYS)),
        "material": remote(_material, encode(GRANTED)),
        "nonce": remote(_text(lambda text: nonces.check_nonce(NONCE_KEY, text, NOW_MS)), NONCE.encode()),
        "base64url": remote(_text(b64url_decode), b"AAECAw"),
        "problem": remote(_problem, encode(problem("busy", "later"))),
        "refusal": remote(_refused, b"3\n" + encode(problem("busy", "later"))),
        "channel": Target(_channel, (RemoteError, UsageError), (encode(CHANNEL),)),
        "invitation": remote(_text(enrolment.read_invitation), INVITATION.line().encode()),
        "operator": Target(
            _operator, (RemoteError, UnreachableError), (example_bytes(enrolment.OperatorDocument),)
        ),
        "csr": remote(_text(read_csr), csr.encode()),
        "certificates": remote(_certificates, _certified()),
        "newcomer": remote(_newcomer, enrol),
        "request": remote(_request, *kinds),
        "answer": remote(_answer, *said),
    }


def _text(read: Callable[[str], object]) -> Read:
    return lambda data: read(data.decode("utf-8", "replace"))


def _decoding(kind: type[Any]) -> Read:
    return lambda data: decode(data, kind)


def _signed(at: int) -> bytes:
    return bytes([at]) + jose.sign(b"{}", SIGNERS[at], kid="k", typ=jose.TYP_REQUEST).encode()


def _sealed(at: int) -> bytes:
    return bytes([at]) + jose.seal(b"{}", OPENERS[at], kid="k", typ=jose.TYP_SEALED_KEY).encode()


def _verify(data: bytes) -> None:
    """Verify a token under the kind of key that the first byte chooses."""
    jose.verify(data[1:], SIGNERS[sum(data[:1]) % len(SIGNERS)], typ=jose.TYP_REQUEST)


def _unseal(data: bytes) -> None:
    """Open a token with the kind of key that the first byte chooses, or as what is kept at home (`dir`)."""
    choice = sum(data[:1]) % (len(OPENERS) + 1)
    if choice == len(OPENERS):
        jose.unseal_direct(data[1:], KEYS["oct"], typ=jose.TYP_VAULT)
    else:
        jose.unseal(data[1:], OPENERS[choice], typ=jose.TYP_SEALED_KEY)


def _request(data: bytes) -> None:
    """Read a request of the operation that the first byte chooses."""
    decode(data[1:], operations.ALL[sum(data[:1]) % len(operations.ALL)].request)


def _answer(data: bytes) -> None:
    """Take an answer the client's way, from a server that seals and signs what it likes."""
    operation = operations.ALL[sum(data[:1]) % len(operations.ALL)]
    body = data[1:]
    if operation.sealed:
        body = seal_answer(body, DEVICE.kek, kid=DEVICE.id, signing=SERVER_KEYS.signing).encode()
    CLIENT._open(operation, JTI, body)


def _use_key(data: bytes) -> None:
    """Do with a received key all that is done with one."""
    key = decode(data, Jwk)
    jwk.jose_key(key)
    jwk.thumbprint(key)
    if key.kty != "oct":
        jwk.native_public_key(key)
    if key.kty != "oct" and key.is_secret:
        jwk.native_private_key(key)
    if (key.kty, key.crv) in jwk.SEALING_ALGORITHMS:
        jose.seal(b"", key, kid="k", typ=jose.TYP_SEALED_ANSWER)
    if (key.kty, key.crv) in jwk.SIGNING_ALGORITHMS:
        with contextlib.suppress(AuthenticationError):
            jose.verify(_signed(0)[1:], key, typ=jose.TYP_REQUEST)


def _material(data: bytes) -> None:
    material.read_key(decode(data, answers.KeyMaterial))


def _problem(data: bytes) -> None:
    problem_name(decode(data, Problem).type)


def _refused(data: bytes) -> None:
    """Read a no with its Retry-After header, the first line; the wait is one that can be waited for."""
    header, _, body = data.partition(b"\n")
    retry_after_s = _pause(header.decode("utf-8", "surrogateescape"))
    error = refusal_of("https://k:1", Reply(status=503, body=body, nonce=None, retry_after_s=retry_after_s))
    assert error.retry_after_s is None or 0 <= error.retry_after_s <= RETRY_AFTER_S_MAX
    assert len(str(error).splitlines()) <= 1


def _channel(data: bytes) -> None:
    """Read a channel; written and read again it is the same."""
    spec = channels.channel_spec(decode(data, ChannelData))
    assert channels.channel_spec(channels.channel_data(spec)) == spec


def _operator(data: bytes) -> None:
    shown = _document("https://k:1", data)
    for key in (shown.server_key, shown.server_kek):
        jwk.native_public_key(key)


def _certificates(data: bytes) -> None:
    """Check certificates that a server answered with, under any CA: four texts between zeros."""
    ca, issuer, signing, kek = [*(part.decode("utf-8", "replace") for part in data.split(b"\0", 3)), *"   "][
        :4
    ]
    party = msgspec.structs.replace(DEVICE, ca_pem=ca, signing=KEYS["ed25519"], kek=KEYS["x25519"])
    check_certificates(enrolment.Certificates(signing=signing, kek=kek, issuer=issuer), party)


def _certified() -> bytes:
    """Return what `_certificates` takes, by a fresh CA."""
    wall_ns = NOW_MS * 1_000_000
    ca = make_ca("Example", RANDOM, wall_ns)
    issuer = Issuer(make_issuer(ca, "Example", RANDOM, wall_ns), "Example", RANDOM, days=30)
    issued = issuer.certify(
        id=DEVICE.id, role=DEVICE.role, signing=KEYS["ed25519"], kek=KEYS["x25519"], wall_ms=NOW_MS
    ).certificates
    return b"\0".join(
        (ca.certificate_pem, *(pem.encode() for pem in (issued.issuer, issued.signing, issued.kek)))
    )


def _newcomer(data: bytes) -> None:
    newcomer_keys(decode(data, enrolment.EnrolRequest), KEYS["x25519"])
