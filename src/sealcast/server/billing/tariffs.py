"""Owns what operators do with tariffs: add them and versions of them, list them.

A no is decided before anything is written, so that nothing is ever half done.
"""

from collections.abc import Iterable, Mapping
from functools import partial

import sqlalchemy as sa

from sealcast.billing import store_assignments, store_tariffs
from sealcast.billing.tariffs import Tariff, TariffVersion
from sealcast.billing.terms import terms_of, version_of
from sealcast.billing.timeline import Assignment
from sealcast.core.errors import RefusedError, UsageError
from sealcast.core.ports import NS_PER_MS
from sealcast.keyserver import store_channels
from sealcast.keyserver.calls import Call, Handler, Principal, Reply
from sealcast.keyserver.values import refusal
from sealcast.keyserver.when import iso_time
from sealcast.messages import operations_billing as operations
from sealcast.messages.charging import (
    TariffAddRequest,
    TariffList,
    TariffListRequest,
    TariffRow,
    TariffVersionRow,
)
from sealcast.messages.encoding import encode
from sealcast.messages.parties import is_line
from sealcast.server.billing.closed import Closed, Subject, check_open, read_ahead
from sealcast.server.billing.shared import BillingShared
from sealcast.server.paging import fill

TARIFF_BYTES_MAX = 150_000
"""All versions of a tariff, encoded: together they fit into one answer."""

CHANNELS_MAX = 1_000
"""Channels that one request assigns a tariff to: a fraction of a second."""


class TariffDesk:
    """Carries out what operators ask about tariffs."""

    def __init__(self, shared: BillingShared) -> None:
        self._shared = shared

    async def ahead(self, caller: Principal, request: TariffAddRequest) -> Closed:
        """Find out which closed periods a tariff would touch."""
        _ = caller
        now_ms = self._shared.clock.wall_ns() // NS_PER_MS
        return await self._shared.reader.read(partial(_closed, request=request, now_ms=now_ms))

    def add(self, call: Call, request: TariffAddRequest) -> Reply:
        """Add a tariff or another version of one, and assign it to channels."""
        from_ms = call.wall_ms if request.from_ms is None else request.from_ms
        version = version_of(request.currency, request.terms, from_ms, request.until_ms)
        known = store_tariffs.find(call.connection, request.name)
        tariff = _with_version(request.name, known, version)
        channels = {
            each: channel_number(call.connection, each) for each in request.channels[: CHANNELS_MAX + 1]
        }
        _check_channels(call, channels, from_ms, is_new=known is None)
        check_open(call, _subjects(call.connection, request.name, channels.values()), from_ms)
        if known is None:
            store_tariffs.add(call.connection, request.name, version, call.wall_ms)
        else:
            store_tariffs.add_version(call.connection, request.name, version, call.wall_ms)
        for number in sorted(set(channels.values())):
            assignment = Assignment(from_ms, request.name)
            store_assignments.add(call.connection, number, assignment, call.wall_ms)
        call.record("tariff-add", f"{request.name} from {iso_time(from_ms)}")
        return Reply(TariffList(tariffs=[_row(tariff)]))

    def list(self, call: Call, request: TariffListRequest) -> Reply:
        """Return a page of tariffs, or the one asked for."""
        if request.name is not None:
            return Reply(TariffList(tariffs=[_row(must_find(call.connection, request.name))]))
        names = store_tariffs.names_behind(call.connection, request.after, request.limit + 1)
        # One by one: a tariff that does not fit into the answer any more need not be read.
        rows = (_row(must_find(call.connection, name)) for name in names)
        page, has_more = fill(rows, request.limit)
        return Reply(TariffList(tariffs=page, more=has_more))


def tariff_handlers(desk: TariffDesk) -> tuple[Handler, ...]:
    """Return the handlers of the operations on tariffs."""
    return (
        Handler(operations.TARIFF_ADD, desk.add, ahead=desk.ahead),
        Handler(operations.TARIFF_LIST, desk.list),
    )


def must_find(connection: sa.Connection, name: str) -> Tariff:
    """Return the tariff of that name; raises the refusal `unknown-tariff`."""
    found = store_tariffs.find(connection, name)
    if found is None:
        raise refusal("unknown-tariff", f"there is no tariff {name[:80]!r}; see: billing tariff list")
    return found


def channel_number(connection: sa.Connection, channel: str) -> int:
    """Return the number of the live channel of that name or number; raises `unknown-channel`."""
    found = store_channels.find(connection, channel)
    if found is None:
        raise refusal("unknown-channel", f"there is no channel {channel[:80]!r}; see: channel list")
    return int(found.spec.number)


def another_begins(name: str, from_ms: int) -> RefusedError:
    """Return the no for two tariffs of one channel, or device on it, from one instant on."""
    return refusal("overlap", f"{name} has another tariff from {iso_time(from_ms)} on; take another instant")


def _closed(connection: sa.Connection, request: TariffAddRequest, now_ms: int) -> Closed:
    found = [store_channels.find(connection, each) for each in request.channels[:CHANNELS_MAX]]
    numbers = [int(each.spec.number) for each in found if each is not None]
    from_ms = now_ms if request.from_ms is None else request.from_ms
    return read_ahead(connection, _subjects(connection, request.name, numbers), from_ms)


def _subjects(connection: sa.Connection, tariff: str, channels: Iterable[int]) -> set[Subject]:
    """Return what another version of a tariff applies to: where it ever was assigned, and `channels`."""
    return {*store_assignments.subjects_of(connection, tariff), *((each, None) for each in channels)}


def _with_version(name: str, known: Tariff | None, version: TariffVersion) -> Tariff:
    """Return a tariff with one more version; raises a refusal if it does not fit among the others."""
    if not is_line(name) or name != name.strip():
        raise refusal("bad-request", "a tariff's name is one line, without spaces around it")
    if known is not None and known.currency != version.currency:
        raise refusal(
            "bad-request", f"tariff {name!r} is in {known.currency}; make another one for {version.currency}"
        )
    versions = (*(known.versions if known is not None else ()), version)
    try:
        tariff = Tariff(name, tuple(sorted(versions, key=lambda each: each.valid_from_ms)))
    except UsageError as error:
        raise refusal("overlap", str(error)) from error
    if len(encode(_row(tariff))) > TARIFF_BYTES_MAX:
        raise refusal("bad-request", f"tariff {name!r} has too many versions and steps; make another tariff")
    return tariff


def _check_channels(call: Call, channels: Mapping[str, int], from_ms: int, *, is_new: bool) -> None:
    """Raise a refusal for a new tariff without a channel, and for channels that have another one then."""
    if is_new and not channels:
        raise refusal("bad-request", "a new tariff needs a channel, else it would apply to nobody")
    if len(channels) > CHANNELS_MAX:
        raise refusal("bad-request", f"a request has at most {CHANNELS_MAX} channels; assign more later")
    for name, number in channels.items():
        if store_assignments.begins_at(call.connection, number, None, from_ms):
            raise another_begins(name, from_ms)


def _row(tariff: Tariff) -> TariffRow:
    versions = [
        TariffVersionRow(from_ms=each.valid_from_ms, until_ms=each.valid_until_ms, terms=terms_of(each))
        for each in tariff.versions
    ]
    return TariffRow(name=tariff.name, currency=tariff.currency, versions=versions)
