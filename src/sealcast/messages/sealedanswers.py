"""Owns the envelope of answers that hold keys: the party that asked opens it, the server alone makes it.

| the party's KEK | plaintext of the JWE | why it is by the server                        |
|-----------------|----------------------|------------------------------------------------|
| symmetric       | the answer           | nobody but the party and the server has the KEK |
| a key pair      | a JWS of the answer  | anybody could seal to a public key              |

The two have each their own `typ`, and the kind of the party's own key says which one it takes.
"""

from sealcast.messages import jose
from sealcast.messages.jwk import HeldPair, Jwk

SERVER_ID = "keyserver"
"""The `kid` of the server's own signatures; no principal has it."""


def seal_answer(answer: bytes, kek: Jwk, *, kid: str, signing: Jwk) -> str:
    """Return `answer` for the party `kid` that has `kek`, by the server whose key is `signing`."""
    if kek.kty == "oct":
        return jose.seal(answer, kek, kid=kid, typ=jose.TYP_SHARED_ANSWER)
    signed = jose.sign(answer, signing, kid=SERVER_ID, typ=jose.TYP_ANSWER)
    return jose.seal(signed.encode("ascii"), kek, kid=kid, typ=jose.TYP_SEALED_ANSWER)


def open_answer(token: str | bytes, kek: Jwk | HeldPair, *, server_key: Jwk) -> bytes:
    """Return the answer inside; raises AuthenticationError if it is not for `kek` or not by the server."""
    if isinstance(kek, Jwk) and kek.kty == "oct":
        return jose.unseal(token, kek, typ=jose.TYP_SHARED_ANSWER)
    signed = jose.unseal(token, kek, typ=jose.TYP_SEALED_ANSWER)
    return jose.verify(signed, server_key, typ=jose.TYP_ANSWER)
