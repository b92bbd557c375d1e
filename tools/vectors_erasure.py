"""Makes docs/spec/vectors/erasure.json: statements of devices, the receipts for them, and what is refused."""

# ruff: noqa: INP001 - beside a program, not in a package

import hashlib
import json
from typing import Any

import msgspec

from sealcast.messages import jose, jwk
from sealcast.messages.encoding import b64url_encode, encode
from sealcast.messages.jwk import Jwk
from sealcast.messages.subscribing import ErasureStatement, Receipt
from sealcast.testing import SimRandom

Content = dict[str, Any]

OPERATOR = "Example Operator"
NONCES = {
    name: b64url_encode(bytes([number]) * 16) for number, name in enumerate(("one", "all", "old", "other"))
}
STATEMENTS = {
    "one channel, HS256": ErasureStatement(
        operator=OPERATOR,
        device="TV-0001",
        scope="7",
        statement_nonce=NONCES["one"],
        counter=2,
        erased=["0000000700000003", "0000000700000004"],
        last_index={"7": 196_598},
    ),
    "all channels, Ed25519": ErasureStatement(
        operator=OPERATOR,
        device="TV-0002",
        scope="*",
        statement_nonce=NONCES["all"],
        counter=1,
        erased=["0000000700000003", "0000000900000001"],
        kek_erased=True,
    ),
}


def erasure_vectors(_: object) -> Content:
    """Return statements with their receipts, and statements that are offences, each with the kind of it."""
    server = jwk.new_signing_pair(_random("server"))
    keys = dict(
        zip(STATEMENTS, (jwk.new_oct_key(_random("mac")), jwk.new_signing_pair(_random("tv"))), strict=True)
    )
    return {
        "source": "Sealcast's own: erasure statements and receipts of docs/spec/messages.md. `begun` are the"
        " withdrawals on record; each refused token is sent by TV-0001, and is an offence of that kind.",
        "operator": OPERATOR,
        "server_key": _parts(server.public()),
        "begun": [
            _begun("one", "TV-0001", "7", 2, "open"),
            _begun("all", "TV-0002", "*", 1, "open"),
            _begun("old", "TV-0001", "*", 1, "superseded"),
            _begun("other", "TV-0001", "7", 0, "closed"),
        ],
        "withdrawn": [
            _withdrawn(number, name, keys[name], server) for number, name in enumerate(STATEMENTS, start=1)
        ],
        "refused": [
            {"name": name, "kind": kind, "token": token}
            for name, kind, token in _refused(keys["one channel, HS256"], keys["all channels, Ed25519"])
        ],
    }


def _begun(name: str, device: str, scope: str, counter: int, state: str) -> Content:
    return {
        "device": device,
        "statement_nonce": NONCES[name],
        "scope": scope,
        "counter": counter,
        "state": state,
    }


def _withdrawn(number: int, name: str, key: Jwk, server: Jwk) -> Content:
    statement = STATEMENTS[name]
    token = _signed(statement, key)
    receipt = Receipt(
        operator=OPERATOR,
        number=number,
        device=statement.device,
        channels=["news"] if number == 1 else ["news", "sport"],
        closed_at="2026-01-31T12:00:00Z",
        erased=statement.erased,
        statement_sha256=hashlib.sha256(token.encode()).hexdigest(),
    )
    proof = jose.sign(encode(receipt), server, kid="keyserver", typ=jose.TYP_RECEIPT)
    return {
        "name": name,
        "key": _parts(key if key.kty == "oct" else key.public()),
        "statement": {"payload": encode(statement).decode(), "token": token},
        "receipt": {"payload": encode(receipt).decode(), "token": proof},
    }


def _refused(key: Jwk, other: Jwk) -> list[tuple[str, str, str]]:
    """Return (name, kind, token) of statements that the first device sends and must not."""
    right, theirs = STATEMENTS.values()

    def changed(**fields: Any) -> str:  # noqa: ANN401 - fields of a statement
        return _signed(msgspec.structs.replace(right, **fields), key)

    return [
        ("another device's", "foreign", _signed(theirs, other)),
        ("in its own name, about another device", "foreign", changed(device="TV-0002")),
        ("for another operator", "foreign", changed(operator="Another Operator")),
        ("another device's nonce", "foreign", changed(statement_nonce=NONCES["all"])),
        ("a nonce of nobody", "bad", changed(statement_nonce=b64url_encode(bytes([9]) * 16))),
        ("another scope", "bad", changed(scope="9", erased=[], last_index={})),
        ("keys of another channel", "bad", changed(erased=["0000000900000001"])),
        ("a KEK that is needed still", "bad", changed(kek_erased=True)),
        ("a counter of the future", "bad", changed(counter=3)),
        ("another key", "bad", _signed(right, jwk.new_oct_key(_random("another")))),
        ("another typ", "bad", jose.sign(encode(right), key, kid=right.device, typ=jose.TYP_REQUEST)),
        ("a counter of the past", "stale", changed(counter=1)),
        (
            "superseded",
            "stale",
            changed(statement_nonce=NONCES["old"], scope="*", kek_erased=True, counter=1),
        ),
        ("a nonce that was used", "replayed", changed(statement_nonce=NONCES["other"], counter=0)),
    ]


def _signed(statement: ErasureStatement, key: Jwk) -> str:
    return jose.sign(encode(statement), key, kid=statement.device, typ=jose.TYP_ERASURE)


def _random(name: str) -> SimRandom:
    return SimRandom(f"vectors/erasure/{name}")


def _parts(key: Jwk) -> dict[str, str]:
    return dict(json.loads(encode(key)))
