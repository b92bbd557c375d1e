"""Owns withdrawals for tests: statements made by hand from the messages, and what the database says after."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from sealcast.messages import jose, operations
from sealcast.messages.encoding import decode, encode
from sealcast.messages.subscribing import ErasureStatement, Receipt, WithdrawalBegun
from server.newcomers import rows
from server.running import Caller, Reply, Running


def statement_of(caller: Caller, begun: WithdrawalBegun, **changes: Any) -> ErasureStatement:
    """Return what a device states that did all that it was told; `changes` replace fields of it."""
    right = ErasureStatement(
        operator=caller.credential.operator,
        device=caller.credential.id,
        scope=begun.scope,
        statement_nonce=begun.statement_nonce,
        counter=begun.counter,
        erased=begun.key_ids,
        kek_erased=begun.scope == "*",
    )
    return msgspec.structs.replace(right, **changes)


def signed(caller: Caller, statement: msgspec.Struct, **changes: Any) -> str:
    """Return a statement under a device's signing key; `changes` replace parts of the token."""
    parts = {"key": caller.credential.signing, "kid": caller.credential.id, "typ": jose.TYP_ERASURE} | changes
    return jose.sign(encode(statement), parts["key"], kid=parts["kid"], typ=parts["typ"])


async def begin(caller: Caller, channel: str = "news") -> WithdrawalBegun:
    """Begin a withdrawal."""
    begun = await caller.must(operations.WITHDRAWAL, channel=channel)
    assert isinstance(begun, WithdrawalBegun)
    return begun


async def withdraw(caller: Caller, token: str) -> Reply:
    """Send a statement."""
    return await caller.ask(operations.WITHDRAW, statement=token)


def receipt_of(server: Running, reply: Reply, token: str) -> Receipt:
    """Return the receipt in an answer: by the server, for that statement."""
    assert reply.status == 200, (reply.problem, reply.detail)
    key = server.operator.credential.server_key
    receipt = decode(jose.verify(reply.answer.receipt, key, typ=jose.TYP_RECEIPT), Receipt)
    assert receipt.statement_sha256 == hashlib.sha256(token.encode()).hexdigest()
    return receipt


def subscriptions(directory: Path) -> list[tuple[int, str, str | None]]:
    """Return (channel, device, how it ended) of all subscriptions, in order."""
    found = rows(directory, "SELECT channel, device, ended_by, removed_at_ms FROM subscriptions ORDER BY id")
    assert all((ended_by is None) == (at_ms is None) for _, _, ended_by, at_ms in found)
    return [(channel, device, ended_by) for channel, device, ended_by, _ in found]


def erasures(directory: Path) -> list[tuple[int, int, bool]]:
    """Return (channel, epoch, whether it is void) of all erased keys."""
    found = rows(
        directory, "SELECT channel, epoch, void_at_ms FROM erasures ORDER BY withdrawal, channel, epoch"
    )
    return [(channel, epoch, void is not None) for channel, epoch, void in found]


def offences(directory: Path) -> list[tuple[str, str]]:
    """Return (device, kind) of all offences."""
    return list(rows(directory, "SELECT device, kind FROM offences ORDER BY number"))
