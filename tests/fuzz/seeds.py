"""Owns what seeds of targets are made of: keys that never change, and one valid message of each kind."""

import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from sealcast.client.keyserver import KeyServerClient
from sealcast.core.secret import Secret
from sealcast.device.vault import Credential
from sealcast.messages.encoding import b64url_encode, encode
from sealcast.messages.jwk import Jwk, new_oct_key, new_p256_pair, new_sealing_pair, new_signing_pair
from sealcast.messages.requests import RegisteredKeys
from sealcast.testing import SimRandom

RANDOM = SimRandom("fuzz")
NOW_MS = 1_800_000_000_000
NONCE_KEY = Secret(RANDOM.bytes(32))

KEYS: dict[str, Jwk] = {
    "oct": new_oct_key(RANDOM),
    "ed25519": new_signing_pair(RANDOM),
    "x25519": new_sealing_pair(RANDOM),
    "p256": new_p256_pair(RANDOM),
}
RSA_PUBLIC = Jwk(kty="RSA", n=b64url_encode(b"\xff" + RANDOM.bytes(382) + b"\1"), e="AQAB")
"""Whoever seals does not look at the factors, so none are needed."""

SERVER_KEYS = RegisteredKeys(signing=KEYS["ed25519"], kek=KEYS["x25519"])
JTI = "a"
"""What `example` puts into every text, so that example answers are for example requests."""

DEVICE = Credential(
    role="device",
    id="tv-1",
    operator="Example",
    signing=KEYS["oct"],
    kek=KEYS["oct"],
    ca_pem="none",
    servers=["https://keys.example:8443"],
    server_key=KEYS["ed25519"].public(),
    server_kek=KEYS["x25519"].public(),
)
CLIENT = KeyServerClient(DEVICE, RANDOM)


def example(kind: Any) -> Any:
    """Return a value of a type that messages are made of: structs, lists, unions, literals, plain values."""
    if isinstance(kind, type) and issubclass(kind, Jwk):
        return KEYS["ed25519"].public()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind)
        return kind(**{name: example(hints[name]) for name in kind.__struct_fields__})
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return inner[0]
    if origin in (list, dict):
        first, *others = map(example, inner)
        return {first: others[0]} if others else [first]
    if origin in (Union, types.UnionType):
        return example(inner[0])
    return {str: JTI, int: 1, float: 1.0, bool: True, bytes: bytes(32)}[kind]


def example_bytes(kind: type[msgspec.Struct]) -> bytes:
    """Return an example of a message as it travels."""
    return encode(example(kind))
