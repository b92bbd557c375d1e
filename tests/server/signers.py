"""Owns what makes generated bodies worth the server's while: parties that sign, and names it knows."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import strategies as st

from sealcast.device.csr import make_csr
from sealcast.device.newkeys import KeyKind
from sealcast.messages import answers, jose, operations
from sealcast.messages.encoding import encode
from sealcast.messages.enrolment import new_token, token_hash
from sealcast.messages.jwk import new_oct_key, new_sealing_pair, new_signing_pair
from sealcast.messages.operation import Operation
from server.newcomers import enrolled, invite, keys_of, newcomer
from server.running import RANDOM, Caller, Running, material

Draw = Callable[[st.SearchStrategy[Any]], Any]

FAULTS = ("none",) * 12 + ("claims as generated", "jti again", "another's signature", "a bit flipped")
"""What is wrong with a token beside its body: mostly nothing, so that the body is looked at."""

NEWCOMERS = (KeyKind.SYMMETRIC, KeyKind.ED25519, KeyKind.P256)
INVITATIONS = 8

KNOWN_IN = 3
"""A field gets a value that the server knows in all but one of so many cases."""


HOSTILE_IN = 8
"""One value in so many is replaced by one of the following, of its own type."""

HOSTILE: dict[type, list[Any]] = {
    int: [
        -1,
        0,
        1,
        2**31,
        2**32 - 1,
        2**32,
        2**53,
        2**63 - 1,
        2**63,
        2**64 - 1,
        -(2**63),
        -(2**63) - 1,
        10**30,
    ],
    str: ["", "\0", "a\0b", "x" * 5_000, "\u0663", "\U0001f600", "../..", "1" * 5_000, "%s", "25%", "1e999s"],
}


@dataclass
class Sent:
    """One token as sent: by whom, and whether the signature was to verify."""

    token: str
    caller: Caller
    fault: str


@dataclass
class Signers:
    """A party of each role at a server with a little of everything in it, and the values that it knows."""

    server: Running
    callers: dict[str, Caller]
    known: dict[str, list[Any]] = field(default_factory=dict)
    nonce: str = ""
    last_jti: str = "none yet"
    count: int = 0

    @classmethod
    async def at(cls, server: Running) -> "Signers":
        """Register parties, channels and keys at a running server."""
        device = await server.register("tv-1", "device")
        sender = await server.register("studio", "sender")
        await server.register("spare-tv", "device")
        await server.add_channel("news", senders=["studio"])
        await server.add_channel("spare", port=5006, senders=["studio"])
        await server.operator.must(operations.SUBSCRIBER_ADD, channel="news", device="tv-1")
        lease = await sender.must(operations.LEASE, channel="news")
        slots = [(slot.ssrc, slot.epoch) for slot in lease.slots]
        for _, epoch in slots[:4]:
            assert (await server.publish(sender, "news", material(1, epoch))).status == 200
        assert (await server.report(sender, "news", *slots[0])).status == 200
        certified = await enrolled(server, KeyKind.ED25519)
        callers = {"operator": server.operator, "device": device, "sender": sender, "certified": certified}
        signers = cls(server, callers)
        signers.known = _known_values(server, [ssrc for ssrc, _ in slots], [epoch for _, epoch in slots])
        invited = [await invite(server, channels=["news"]) for _ in range(INVITATIONS)]
        signers.known["token"] = [*invited, await invite(server, role="sender")]
        await server.operator.fetch_nonce()
        signers.nonce = server.operator.nonce
        return signers

    def sign(self, operation: Operation, body: Any, draw: Draw) -> Sent:
        """Return a generated body signed by a party that may ask for `operation`, or with a drawn fault."""
        caller = self._caller(operation, draw)
        fault = draw(st.sampled_from(FAULTS))
        if isinstance(body, dict):
            body = _with_hostile_values(self._with_known_values(operation, body, draw), draw)
            if operation.role == "newcomer" and draw(st.integers(0, KNOWN_IN - 1)):
                body |= {"sealed_keys": None, "csr": None, "kek": None}
                body |= msgspec.to_builtins(keys_of(caller))
            if fault != "claims as generated":
                body |= self._claims(caller, operation, again=fault == "jti again")
        key = new_signing_pair(RANDOM) if fault == "another's signature" else caller.credential.signing
        payload = json.dumps(body).encode()
        token = jose.sign(payload, key, kid=caller.credential.id, typ=jose.TYP_REQUEST)
        if fault == "a bit flipped":
            token = token[:-10] + ("A" if token[-10] != "A" else "B") + token[-9:]
        return Sent(token, caller, fault)

    def _caller(self, operation: Operation, draw: Draw) -> Caller:
        if operation.role != "newcomer":
            return self.callers[operation.role.partition("-or-")[0]]
        return newcomer(self.server, draw(st.sampled_from(NEWCOMERS)))

    def _claims(self, caller: Caller, operation: Operation, *, again: bool) -> dict[str, str]:
        if not again:
            self.count += 1
            self.last_jti = f"case-{self.count}"
        return {
            "aud": caller.credential.operator,
            "op": operation.name,
            "jti": self.last_jti,
            "nonce": self.nonce,
        }

    def _with_known_values(self, operation: Operation, body: dict[str, Any], draw: Draw) -> dict[str, Any]:
        """Put known values into some of the fields; what is removed is never what others need."""
        known = self.known
        if operation.name.endswith(("-remove", "-revoke", "-cancel")):
            known = known | {"channel": ["spare"], "id": ["spare-tv"], "device": ["spare-tv"]}
        return {
            name: draw(st.sampled_from(known[name]))
            if name in known and not isinstance(value, dict) and draw(st.integers(0, KNOWN_IN - 1))
            else value
            for name, value in body.items()
        }


def _with_hostile_values(value: Any, draw: Draw) -> Any:
    """Replace some of the numbers and texts, at any depth, by such as break what was not checked."""
    if isinstance(value, dict):
        return {name: _with_hostile_values(each, draw) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_hostile_values(each, draw) for each in value]
    if type(value) in HOSTILE and not draw(st.integers(0, HOSTILE_IN - 1)):
        return draw(st.sampled_from(HOSTILE[type(value)]))
    return value


def _known_values(server: Running, ssrcs: list[int], epochs: list[int]) -> dict[str, list[Any]]:
    """Return for names of fields the values that lead further than a generated one."""
    keys = [
        server.sealed_keys(new_oct_key(RANDOM), new_oct_key(RANDOM)),
        server.sealed_keys(new_signing_pair(RANDOM).public(), new_sealing_pair(RANDOM).public()),
        server.sealed_keys(new_signing_pair(RANDOM), new_oct_key(RANDOM)),
    ]
    return {
        "channel": ["news", "1", "spare"],
        "device": ["tv-1"],
        "id": ["tv-1", "new-1", "new-2"],
        "role": ["device", "device", "sender"],
        "csr": [make_csr(new_signing_pair(RANDOM)) for _ in range(3)],
        "token_hash": [base64.b64encode(token_hash(new_token(RANDOM))).decode() for _ in range(3)],
        "valid_s": [60],
        "number": [1, 2, 3],
        "channels": [["news"], []],
        "ssrc": ssrcs,
        "epoch": epochs,
        "key_id": [f"{1:08x}{epoch:08x}" for epoch in epochs],
        "sealed_key": [_sealed(server, material(1, epoch)) for epoch in epochs],
        "sealed_keys": keys,
        "senders": [["studio"], ["tv-1"], []],
    }


def _sealed(server: Running, key: answers.KeyMaterial) -> str:
    return jose.seal(
        encode(key), server.operator.credential.server_kek, kid="keyserver", typ=jose.TYP_SEALED_KEY
    )
