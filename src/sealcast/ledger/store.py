"""Owns recording in the ledger: an entry once by its id, none into books that are closed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sealcast.core.errors import LocalError, RefusedError
from sealcast.ledger.entries import Entry, Posting
from sealcast.ledger.tables import ledger_closings, ledger_entries, ledger_postings
from sealcast.messages.bookkeeping import EntryRow, PostingRow
from sealcast.messages.problems import STATUS_OF

_ADD = ledger_entries.insert()
_ADD_POSTINGS = ledger_postings.insert()
_LAST = sa.select(sa.func.max(ledger_entries.c.number))
_FIND = sa.select(ledger_entries).where(ledger_entries.c.id == sa.bindparam("wanted"))
_CORRECTION = sa.select(ledger_entries.c.id).where(ledger_entries.c.corrects == sa.bindparam("wanted"))
_POSTINGS = (
    sa.select(ledger_postings.c.account, ledger_postings.c.amount_micro)
    .where(ledger_postings.c.entry == sa.bindparam("number"))
    .order_by(ledger_postings.c.place)
)
_CLOSED = sa.select(sa.func.max(ledger_closings.c.until_ms))
_CLOSE = ledger_closings.insert()


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry as it stands in the ledger; `is_new` is False if it had been recorded before."""

    row: EntryRow
    is_new: bool


def record(connection: sa.Connection, entry: Entry, now_ms: int) -> Recorded:
    """Record an entry, or find it: told twice with the same content it is one, at whatever instant.

    Raises RefusedError before anything is written: `exists` for another entry of that id, or if what it
    corrects was taken back already; `unknown-entry` if it corrects none; `period-closed` if it is of an
    instant at which the books are closed. Two queries more than it has statements; a millisecond.
    """
    earlier = find(connection, entry.id)
    if earlier is not None:
        if not entry_of(earlier).is_same_as(entry):
            raise _no("exists", f"another entry has the id {entry.id}; see: sealcast billing ledger list")
        return Recorded(earlier, is_new=False)
    _check_open(connection, entry)
    if entry.corrects is not None:
        _check_corrects(connection, entry, entry.corrects)
    number = _next_number(connection)
    connection.execute(_ADD, {**_values(entry, now_ms), "number": number})
    connection.execute(_ADD_POSTINGS, _postings(entry, number))
    found = find(connection, entry.id)
    if found is None:
        raise _no("internal", f"entry {entry.id} was not recorded")
    return Recorded(found, is_new=True)


def record_new(connection: sa.Connection, entries: Sequence[Entry], now_ms: int) -> None:
    """Record the entries of documents that are written in the same unit of work.

    Raises LocalError, which undoes that unit, if the books are closed at one of them or it corrects another:
    a refusal would leave the documents without their entries. The database raises if an id is taken. Three
    statements, however many entries.
    """
    closed_ms = closed_until(connection) or 0
    for entry in entries:
        if entry.effective_ms < closed_ms or entry.corrects is not None:
            raise LocalError(f"the entry {entry.id} of a document is of closed books, or a correction")
    if entries:
        numbered = list(enumerate(entries, _next_number(connection)))
        connection.execute(_ADD, [{**_values(each, now_ms), "number": number} for number, each in numbered])
        connection.execute(
            _ADD_POSTINGS, [row for number, each in numbered for row in _postings(each, number)]
        )


def _next_number(connection: sa.Connection) -> int:
    """Return the number of the next entry; those that a database gives by itself may have gaps."""
    return (connection.execute(_LAST).scalar() or 0) + 1


def find(connection: sa.Connection, id: str) -> EntryRow | None:  # noqa: A002 - the field's name
    """Return the entry of an id, if there is one."""
    row = connection.execute(_FIND, {"wanted": id}).first()
    return None if row is None else read_entry(connection, row)


def read_entry(connection: sa.Connection, row: sa.Row[Any]) -> EntryRow:
    """Return an entry with its postings, given its row of `ledger_entries`."""
    postings = connection.execute(_POSTINGS, {"number": row.number})
    return EntryRow(
        number=row.number,
        id=row.id,
        currency=row.currency,
        effective_ms=row.effective_ms,
        recorded_at_ms=row.recorded_at_ms,
        memo=row.memo,
        corrects=row.corrects,
        postings=[PostingRow(account=name, amount_micro=amount) for name, amount in postings],
    )


def entry_of(row: EntryRow) -> Entry:
    """Return what a row says, apart from when it was recorded; raises UsageError for what is no entry."""
    postings = tuple(Posting(each.account, each.amount_micro) for each in row.postings)
    return Entry(row.id, row.currency, row.effective_ms, postings, row.memo, row.corrects)


def closed_until(connection: sa.Connection) -> int | None:
    """Return the instant (ms since 1970) before which the books are closed; None if they never were."""
    until_ms: int | None = connection.execute(_CLOSED).scalar()
    return until_ms


def open_at(connection: sa.Connection, now_ms: int) -> int:
    """Return the first instant from `now_ms` on of which the books take entries.

    It is `now_ms`, unless the clock was set back since they were closed.
    """
    return max(now_ms, closed_until(connection) or 0)


def close(connection: sa.Connection, until_ms: int, now_ms: int) -> bool:
    """Take no more entries of instants before `until_ms`; False if it was closed until just then already.

    Raises RefusedError: `bad-request` for an instant to come, `period-closed` if more is closed already.
    """
    if until_ms > now_ms:
        raise _no("bad-request", "the books are closed until an instant that is past")
    closed_ms = closed_until(connection)
    if closed_ms == until_ms:
        return False
    if closed_ms is not None and closed_ms > until_ms:
        raise _no("period-closed", "the books are closed until later than that, and are never opened again")
    connection.execute(_CLOSE, {"until_ms": until_ms, "closed_at_ms": now_ms})
    return True


def _values(entry: Entry, now_ms: int) -> dict[str, object]:
    return {
        "id": entry.id,
        "currency": entry.currency,
        "effective_ms": entry.effective_ms,
        "memo": entry.memo,
        "corrects": entry.corrects,
        "postings": len(entry.postings),
        "recorded_at_ms": now_ms,
    }


def _postings(entry: Entry, number: int) -> list[dict[str, object]]:
    return [
        {"entry": number, "place": place, "account": each.account, "amount_micro": each.amount_micro}
        for place, each in enumerate(entry.postings)
    ]


def _check_open(connection: sa.Connection, entry: Entry) -> None:
    closed_ms = closed_until(connection)
    if closed_ms is not None and entry.effective_ms < closed_ms:
        raise _no("period-closed", f"entry {entry.id} is of an instant at which the books are closed")


def _check_corrects(connection: sa.Connection, entry: Entry, corrects: str) -> None:
    """Raise a refusal unless this is the one entry that takes the other back, posting by posting."""
    other = find(connection, corrects)
    if other is None:
        raise _no("unknown-entry", f"no entry has the id {corrects}; see: sealcast billing ledger list")
    correction = connection.execute(_CORRECTION, {"wanted": corrects}).scalar()
    if correction is not None:
        raise _no("exists", f"entry {corrects} was taken back already, by {correction}")
    taken_back = sorted((each.account, -each.amount_micro) for each in other.postings)
    if entry.currency != other.currency or taken_back != sorted(
        (each.account, each.amount_micro) for each in entry.postings
    ):
        raise _no("bad-request", f"entry {entry.id} does not take back what {corrects} posted")


def _no(name: str, detail: str) -> RefusedError:
    return RefusedError(name, detail, int(STATUS_OF[name]))
