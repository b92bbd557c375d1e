"""Owns the audit of usage: grants, signed requests, erasure statements, and what was on air."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from sealcast.billing.tables import aired
from sealcast.core.errors import RemoteError
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.keyserver import store_principals, store_requests
from sealcast.keyserver.tables import channels, epochs, evidence, grants, totals
from sealcast.keyserver.values import refusal
from sealcast.messages import jose, operations
from sealcast.messages.encoding import decode
from sealcast.messages.jwk import Jwk
from sealcast.messages.requests import KeyRequest
from sealcast.messages.subscribing import Receipt
from sealcast.server.billing.audit import Audited, Check, Piece, number_in
from sealcast.subscribers.service_withdrawal import StatementRead, read_statement
from sealcast.subscribers.tables import erasures, subscriptions, withdrawals

GRANTS_AT_ONCE = 5_000
SIGNED_AT_ONCE = 100
"""Signatures verified in one go: some 30 ms."""

PARTS_AT_ONCE = 2_000
UNVERIFIED = "its signature does not verify under the device's key"
_AFTER_GRANT = sa.tuple_(grants.c.device, grants.c.channel, grants.c.epoch) > sa.tuple_(
    sa.bindparam("device_id"), sa.bindparam("number"), sa.bindparam("turn")
)
_IS_COVERED = sa.exists().where(
    subscriptions.c.device == grants.c.device,
    subscriptions.c.channel == grants.c.channel,
    subscriptions.c.added_at_ms <= grants.c.granted_at_ms,
    sa.or_(subscriptions.c.removed_at_ms.is_(None), subscriptions.c.removed_at_ms >= grants.c.granted_at_ms),
    sa.or_(subscriptions.c.fence_epoch.is_(None), grants.c.epoch < subscriptions.c.fence_epoch),
)
_GRANTS = (
    sa.select(
        grants.c.device,
        grants.c.channel,
        grants.c.epoch,
        epochs.c.leased_at_ms.is_not(None),
        epochs.c.published_at_ms.is_not(None),
        _IS_COVERED,
    )
    .select_from(
        grants.outerjoin(
            epochs, sa.and_(epochs.c.channel == grants.c.channel, epochs.c.epoch == grants.c.epoch)
        )
    )
    .where(_AFTER_GRANT)
    .order_by(grants.c.device, grants.c.channel, grants.c.epoch)
    .limit(GRANTS_AT_ONCE)
)
_EVIDENCE = (
    sa.select(evidence, channels.c.name)
    .join(channels, channels.c.number == evidence.c.channel)
    .where(evidence.c.number > sa.bindparam("after"))
    .order_by(evidence.c.number)
    .limit(SIGNED_AT_ONCE)
)
_STATEMENTS = (
    sa.select(
        withdrawals.c.number,
        withdrawals.c.device,
        withdrawals.c.statement,
        withdrawals.c.statement_sha256,
        withdrawals.c.receipt,
        withdrawals.c.closed_at_ms,
    )
    .where(withdrawals.c.number > sa.bindparam("after"), withdrawals.c.closed_at_ms.is_not(None))
    .order_by(withdrawals.c.number)
    .limit(SIGNED_AT_ONCE)
)
_ERASED = sa.select(erasures.c.channel, erasures.c.epoch).where(
    erasures.c.withdrawal == sa.bindparam("wanted")
)
_OF_PART = sa.and_(totals.c.channel == aired.c.channel, totals.c.epoch == aired.c.epoch)
_ALL = aired.alias()
_OF_SAME = sa.and_(_ALL.c.channel == aired.c.channel, _ALL.c.epoch == aired.c.epoch)


def _sum(column: sa.ColumnElement[int], same: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    """Return the sum over all rows that are of the same epoch as a part."""
    found = sa.select(sa.func.coalesce(sa.func.sum(column), 0)).where(same)
    return found.correlate(aired).scalar_subquery()


_AIR = (
    sa.select(
        aired.c.number,
        aired.c.channel,
        aired.c.epoch,
        aired.c.part,
        aired.c.start_ms,
        epochs.c.on_air_at_ms,
        _sum(_ALL.c.end_ms - _ALL.c.start_ms, _OF_SAME).label("time_ms"),
        _sum(totals.c.duration_ms, _OF_PART).label("time_told_ms"),
        _sum(_ALL.c.bytes, _OF_SAME).label("size"),
        _sum(_ALL.c.packets, _OF_SAME).label("packets"),
        _sum(totals.c.bytes, _OF_PART).label("size_told"),
        _sum(totals.c.packets, _OF_PART).label("packets_told"),
        sa.exists().where(_OF_PART, totals.c.is_recorded.is_(False)).label("has_news"),
    )
    .join(epochs, sa.and_(epochs.c.channel == aired.c.channel, epochs.c.epoch == aired.c.epoch))
    .where(aired.c.number > sa.bindparam("after"))
    .order_by(aired.c.number)
    .limit(PARTS_AT_ONCE)
)


def check_grants(audited: Audited, place: str) -> Piece:
    """Check that each grant was one that its device could have had."""
    device, number, epoch = _grant_in(place)
    asked = {"device_id": device, "number": number, "turn": epoch}
    rows = audited.connection.execute(_GRANTS, asked).all()
    piece = Piece()
    piece.count("grants", len(rows))
    for device, number, epoch, is_leased, is_published, is_covered in rows:
        subject = f"{device} {number}/{epoch}"
        if not is_leased or not is_published:
            piece.find("grant-without-key", subject, "the key of the epoch was never published")
        if not is_covered:
            detail = "no subscription covers it, or its fence is below it"
            piece.find("grant-without-subscription", subject, detail)
    if len(rows) == GRANTS_AT_ONCE:
        piece.next = f"{rows[-1].channel} {rows[-1].epoch} {rows[-1].device}"
    return piece


def check_evidence(audited: Audited, place: str) -> Piece:
    """Check the signed requests that are kept."""
    rows = audited.connection.execute(_EVIDENCE, {"after": number_in(place)}).all()
    return _check_signed(audited, [(row, row.asked_at_ms) for row in rows], _REQUESTS_SIGNED)


def check_erasures(audited: Audited, place: str) -> Piece:
    """Check the erasure statements that ended charges."""
    rows = audited.connection.execute(_STATEMENTS, {"after": number_in(place)}).all()
    return _check_signed(audited, [(row, row.closed_at_ms) for row in rows], _STATEMENTS_SIGNED)


def check_air(audited: Audited, place: str) -> Piece:
    """Check that the parts of each epoch add up to what was reported, unless more is just being recorded."""
    before = number_in(place)
    rows = audited.connection.execute(_AIR, {"after": before}).all()
    piece = Piece()
    piece.count("epochs on air", sum(row.part == 1 for row in rows))
    for row in rows:
        subject = f"{row.channel}/{row.epoch}"
        if row.number != before + 1:
            piece.find("air-gap", subject, f"it is row {row.number}, the one before it {before}")
        before = row.number
        fault = _fault_of_air(row) if row.part == 1 else ""
        if fault:
            piece.find("air", subject, fault)
    if len(rows) == PARTS_AT_ONCE:
        piece.next = str(rows[-1].number)
    return piece


USAGE_CHECKS: dict[str, Check] = {
    "grants": check_grants,
    "evidence": check_evidence,
    "erasures": check_erasures,
    "air": check_air,
}


def _grant_in(place: str) -> tuple[str, int, int]:
    """Return the grant that a place names, as (device, channel, epoch)."""
    if not place:
        return "", 0, 0
    number, _, rest = place.partition(" ")
    epoch, _, device = rest.partition(" ")
    if not number or not epoch:
        raise refusal("bad-request", "after is not what an answer gave as next")
    return device, number_in(number), number_in(epoch)


@dataclass(frozen=True, slots=True)
class _Signed:
    """A kind of what devices sign: what is counted, the kind of findings, one of them, and its check."""

    counted: str
    kind: str
    one: str
    fault_of: Callable[[Audited, Any, tuple[Jwk, ...]], str]


def _check_signed(audited: Audited, rows: list[tuple[Any, int]], signed: _Signed) -> Piece:
    """Check rows of one kind, each with the instant at which it was signed."""
    piece = Piece()
    for row, signed_at_ms in rows:
        keys = audited.signing_keys(audited.connection, row.device)
        fault = signed.fault_of(audited, row, keys)
        if fault == UNVERIFIED and _is_key_erased(audited, row.device, signed_at_ms, keys):
            piece.count(f"{signed.counted} whose device's key is erased")
            continue
        piece.count(signed.counted)
        if fault:
            piece.find(signed.kind, f"{row.device} {signed.one} {row.number}", fault)
    if len(rows) == SIGNED_AT_ONCE:
        piece.next = str(rows[-1][0].number)
    return piece


def _is_key_erased(audited: Audited, device: str, signed_at_ms: int, keys: tuple[Jwk, ...]) -> bool:
    """Whether a device signed under a key of which nothing is left: it was removed, and is perhaps back."""
    return not keys or signed_at_ms < store_principals.registered_at_ms(audited.connection, device)


def _fault_of_air(row: Any) -> str:  # noqa: ANN401 - a row
    """Return what is wrong with the parts of an epoch, '' if nothing is."""
    if row.on_air_at_ms is not None and row.on_air_at_ms != row.start_ms:
        return f"it began at {row.on_air_at_ms} ms, {row.start_ms} is recorded"
    if row.has_news:
        return ""
    if (row.size, row.packets) != (row.size_told, row.packets_told):
        recorded = f"{row.size} bytes and {row.packets} packets are recorded"
        return f"{recorded}, {row.size_told} and {row.packets_told} reported"
    if row.time_ms > row.time_told_ms:
        return f"{row.time_ms} ms are recorded, {row.time_told_ms} reported"
    return ""


def _fault_of_request(audited: Audited, row: Any, keys: tuple[Jwk, ...]) -> str:  # noqa: ANN401 - a row
    """Return what is wrong with a kept request, '' if nothing is."""
    payload = _verified(row.token, keys)
    if payload is None:
        return UNVERIFIED
    try:
        request = decode(payload, KeyRequest)
    except RemoteError as error:
        return str(error)
    if (request.op, request.aud) != (operations.KEYS.name, audited.operator):
        return "it asks for something else, or another operator"
    if request.channel not in {row.name, str(row.channel)}:
        return f"it asks for channel {request.channel[:80]}"
    asked = [KeyId(ChannelNumber(row.channel), Epoch(int(epoch))) for epoch in row.epochs.split()]
    granted = store_requests.granted_among(audited.connection, row.device, asked)
    return "" if granted == asked else "not all of its epochs are granted"


def _fault_of_statement(audited: Audited, row: Any, keys: tuple[Jwk, ...]) -> str:  # noqa: ANN401 - a row
    """Return what is wrong with a statement that closed a withdrawal, '' if nothing is."""
    if hashlib.sha256(row.statement.encode()).digest() != row.statement_sha256:
        return "its SHA-256 is another"
    read: StatementRead | None = None
    for key in keys:
        found = read_statement(row.statement, row.device, key)
        read = found if read is None or found.statement is not None else read
    if read is None or read.statement is None:
        return UNVERIFIED
    if read.statement.operator != audited.operator:
        return "it is for another operator"
    erased = audited.connection.execute(_ERASED, {"wanted": row.number})
    named = {KeyId(ChannelNumber(channel), Epoch(epoch)) for channel, epoch in erased}
    if not named <= read.erased:
        return "it does not name all keys that count as destroyed"
    receipt = decode(jose.unverified_payload(row.receipt), Receipt)
    return "" if {str(key) for key in named} == set(receipt.erased) else "its receipt names other keys"


def _verified(token: str, keys: tuple[Jwk, ...]) -> bytes | None:
    """Return the payload of a request that one of the keys signed."""
    for key in keys:
        try:
            return jose.verify(token, key, typ=jose.TYP_REQUEST)
        except (RemoteError, msgspec.MsgspecError):
            continue
    return None


_REQUESTS_SIGNED = _Signed("requests", "evidence", "request", _fault_of_request)
_STATEMENTS_SIGNED = _Signed("erasure statements", "erasure", "withdrawal", _fault_of_statement)
