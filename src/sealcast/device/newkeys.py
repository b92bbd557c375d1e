"""Owns which keys a new party makes for itself.

| kind      | signing | KEK              | known to the server by                     |
|-----------|---------|------------------|--------------------------------------------|
| symmetric | HS256   | A256KW           | the secrets, sealed to it                  |
| ed25519   | Ed25519 | X25519           | a certificate of each (or the public half) |
| p256      | ES256   | ECDH-ES on P-256 | the same                                   |
| rsa       | Ed25519 | RSA-OAEP-256     | the same                                   |
"""

from enum import StrEnum

from sealcast.core.ports import Random
from sealcast.messages.jwk import (
    Jwk,
    new_oct_key,
    new_p256_pair,
    new_rsa_pair,
    new_sealing_pair,
    new_signing_pair,
)


class KeyKind(StrEnum):
    """A kind of party's keys."""

    SYMMETRIC = "symmetric"
    ED25519 = "ed25519"
    P256 = "p256"
    RSA = "rsa"


def new_keys(kind: KeyKind, random: Random) -> tuple[Jwk, Jwk]:
    """Return a fresh signing key and a fresh KEK; never one key for both. RSA takes up to a second."""
    match kind:
        case KeyKind.SYMMETRIC:
            return new_oct_key(random), new_oct_key(random)
        case KeyKind.ED25519:
            return new_signing_pair(random), new_sealing_pair(random)
        case KeyKind.P256:
            return new_p256_pair(random), new_p256_pair(random)
        case KeyKind.RSA:
            return new_signing_pair(random), new_rsa_pair()
