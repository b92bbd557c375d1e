"""Owns contracts with broadcasters, as operators make, end and list them."""

from collections.abc import Sequence

import sqlalchemy as sa

from sealcast.billing import contracts, store_contracts, store_statements
from sealcast.billing.contracts import Contract
from sealcast.billing.periods import format_instant
from sealcast.keyserver import store_channels
from sealcast.keyserver.calls import Call, Handler, Reply
from sealcast.keyserver.tables import channels
from sealcast.keyserver.values import refusal
from sealcast.messages import operations_billing as operations
from sealcast.messages.bookkeeping import (
    ContractAddRequest,
    ContractEndRequest,
    ContractList,
    ContractListRequest,
    ContractRow,
)
from sealcast.server.paging import fill

BACKDATED_MS_MAX = 366 * 86_400_000
"""A contract may be signed after it begins, within a year: each month since then gets its statement."""

_NAMES = sa.select(channels.c.number, channels.c.name).where(
    channels.c.number.in_(sa.bindparam("wanted", expanding=True))
)


class ContractDesk:
    """Carries out what operators ask about contracts."""

    def add(self, call: Call, request: ContractAddRequest) -> Reply:
        """Keep a contract; the same broadcaster's on that channel and in that currency ends as it begins.

        Raises the refusals `unknown-channel`, `overlap`, and `period-closed` for an instant that is settled.
        """
        terms = request.terms
        channel = store_channels.find(call.connection, terms.channel)
        if channel is None:
            raise refusal("unknown-channel", f"no channel {terms.channel[:80]!r}; see: channel list")
        from_ms = call.wall_ms if request.from_ms is None else request.from_ms
        new = contracts.contract_of(terms, channel.spec.number, from_ms, request.until_ms)
        if from_ms < call.wall_ms - BACKDATED_MS_MAX:
            raise refusal("bad-request", "a contract begins within the last year, or later")
        _check_open(call, new, from_ms)
        known = store_contracts.of_subject(call.connection, new.channel, new.currency)
        ended = contracts.fit(known, new)
        if ended is not None:
            store_contracts.end(call.connection, ended.number, new.from_ms)
        number = store_contracts.add(call.connection, new, call.wall_ms)
        call.record("contract-add", f"{number} {new.broadcaster} {channel.spec.name}")
        return _listed(call, [number] if ended is None else [ended.number, number])

    def end(self, call: Call, request: ContractEndRequest) -> Reply:
        """End a contract; raises the refusals `unknown-contract`, and `period-closed` as `add`."""
        known = store_contracts.find(call.connection, request.number)
        if known is None:
            no = f"no contract has the number {request.number}; see: billing settle contract list"
            raise refusal("unknown-contract", no)
        until_ms = call.wall_ms if request.until_ms is None else request.until_ms
        contracts.check_end(known, until_ms)
        _check_open(call, known, until_ms)
        store_contracts.end(call.connection, known.number, until_ms)
        call.record("contract-end", f"{known.number} {known.broadcaster}")
        return _listed(call, [known.number])

    def list(self, call: Call, request: ContractListRequest) -> Reply:
        """Return a page of contracts."""
        found = list(store_contracts.page(call.connection, request.after, request.limit + 1))
        page, has_more = fill(_rows(call.connection, found), request.limit)
        return Reply(ContractList(contracts=page, more=has_more))


def contract_handlers(desk: ContractDesk) -> tuple[Handler, ...]:
    """Return the handlers of the operations on contracts."""
    return (
        Handler(operations.CONTRACT_ADD, desk.add),
        Handler(operations.CONTRACT_END, desk.end),
        Handler(operations.CONTRACT_LIST, desk.list),
    )


def channel_names(connection: sa.Connection, numbers: Sequence[int]) -> dict[int, str]:
    """Return the names of channels, live or removed, by number."""
    rows = connection.execute(_NAMES, {"wanted": sorted(set(numbers))})
    return {each.number: each.name for each in rows}


def _check_open(call: Call, contract: Contract, at_ms: int) -> None:
    """Raise a refusal for an instant of a month of which there are statements in the contract's currency."""
    closed_ms = store_statements.closed_until(call.connection, contract.currency)
    if at_ms < closed_ms:
        until = format_instant(closed_ms)
        raise refusal("period-closed", f"{contract.currency} is settled until {until}; take that, or later")


def _listed(call: Call, numbers: Sequence[int]) -> Reply:
    found = [store_contracts.find(call.connection, number) for number in numbers]
    return Reply(ContractList(contracts=_rows(call.connection, [each for each in found if each is not None])))


def _rows(connection: sa.Connection, found: Sequence[Contract]) -> list[ContractRow]:
    names = channel_names(connection, [each.channel for each in found])
    return [
        ContractRow(
            number=each.number,
            terms=contracts.terms_of(each, names[each.channel]),
            from_ms=each.from_ms,
            until_ms=each.until_ms,
        )
        for each in found
    ]
