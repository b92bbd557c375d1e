"""Owns the key request: admission by one feature, keys by another, the grant, in one unit of work."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

import msgspec
import sqlalchemy as sa

from sealcast.core.errors import LocalError, RefusedError, RemoteError, SealcastError, UsageError
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.keyserver.air import AirState
from sealcast.keyserver.calls import Call, Reply
from sealcast.keyserver.ports import Admission, Decision, Receptions
from sealcast.keyserver.service_keys import OnAir, choose_epochs, make_grant
from sealcast.keyserver.values import ChannelView, refusal
from sealcast.keyserver.views import CHANNELS_MAX, Prepared, Views
from sealcast.messages.answers import Grant
from sealcast.messages.encoding import encode
from sealcast.messages.requests import KeyRequest
from sealcast.server import granting
from sealcast.subscribers import store as allow_list

COUNTED_NS = 10 * NS_PER_S
"""How long a count of subscribers stands: it only says how far to spread their questions."""

PREPARED_NS = 100 * NS_PER_MS
"""How long a grant that is put together serves other devices that are to have the same keys: its times are
late by so much at most, as if the network had been slow."""

HELD_MAX = 64
"""Keys that a device may say it holds: it keeps four of a channel."""


class GrantKeeper(Protocol):
    """Keeps what stands behind grants: evidence, or what others are to be told of them."""

    def keep(self, call: Call, channel: ChannelNumber, epochs: Iterable[Epoch], *, new: int) -> None:
        """Keep a request that brought the keys of `epochs`, `new` of them for the first time."""
        ...


class _Open(NamedTuple):
    """A request that is not refused so far: its place among those asked together, and the epochs due."""

    place: int
    call: Call
    request: KeyRequest
    view: ChannelView
    held: frozenset[KeyId]
    epochs: tuple[Epoch, ...]


_NOES = (RefusedError, RemoteError, UsageError)
_UNDECIDED = LocalError("a request for keys was passed over")
_PERMITTED = Decision(permitted=True)
_NONE_HELD: frozenset[KeyId] = frozenset()
_BEFORE_JTI = b'{"jti":'


class AllowListAdmission:
    """The first `Admission`: a device has the keys while it stands on the channel's allow list."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def permit(self, device: str, channel: ChannelNumber, epochs: tuple[Epoch, ...], now: int) -> Decision:
        """Look the device up; the list says nothing of single epochs or of times."""
        return self.permit_all([(device, channel, epochs)], now)[0]

    def permit_all(
        self, asked: Sequence[tuple[str, ChannelNumber, tuple[Epoch, ...]]], now: int
    ) -> list[Decision]:
        """Look all of them up."""
        _ = now
        listed = allow_list.listed(self._connection, [(channel, device) for device, channel, _ in asked])
        return [
            _PERMITTED if (channel, device) in listed else _not_listed(device) for device, channel, _ in asked
        ]

    def audience(self, channel: ChannelNumber) -> int:
        """Count the list."""
        return allow_list.count(self._connection, channel)


def whatever_is_due(_call: Call, view: ChannelView) -> tuple[Epoch, ...]:
    """Return the epochs whose keys are given where all is known that matters: the current and the next."""
    return choose_epochs(view)


class KeyDesk:
    """Answers key requests. `admission` makes the port for a transaction, `on_grants` counts new grants.

    `choose` says which keys may be given to whoever may have any: at one instant the same to all.
    """

    def __init__(
        self,
        *,
        views: Views,
        air: AirState,
        admission: Callable[[sa.Connection], Admission],
        receptions: Receptions,
        key_servers: tuple[str, ...],
        on_grants: Callable[[int], None],
        evidence: GrantKeeper,
        choose: Callable[[Call, ChannelView], tuple[Epoch, ...]] = whatever_is_due,
    ) -> None:
        self._views = views
        self._air = air
        self._admission = admission
        self._receptions = receptions
        self.key_servers = key_servers
        self.events: tuple[str, ...] = ()
        self._on_grants = on_grants
        self._evidence = evidence
        self._choose = choose
        self._audiences: dict[ChannelNumber, tuple[int, int]] = {}

    def request(self, call: Call, request: KeyRequest) -> Reply:
        """Grant a device the keys that are, or will be, in use, except those it holds."""
        outcome = self.request_all([(call, request)])[0]
        if isinstance(outcome, SealcastError):
            raise outcome
        return outcome

    def request_all(self, asked: Sequence[tuple[Call, KeyRequest]]) -> list[Reply | SealcastError]:
        """Do as `request` for many requests of one transaction; a no to one of them is its outcome."""
        outcomes: list[Reply | SealcastError] = [_UNDECIDED] * len(asked)
        open_: list[_Open] = []
        due: dict[str, tuple[Epoch, ...]] = {}
        for place, (call, request) in enumerate(asked):
            try:
                held = _held(request)
                view = self._views.get(call.connection, request.channel)
                epochs = due.get(request.channel)
                if epochs is None:
                    epochs = due[request.channel] = self._choose(call, view)
                open_.append(_Open(place, call, request, view, held, epochs))
            except _NOES as no:
                outcomes[place] = no
        if open_:
            given = self._permitted(open_, outcomes)
            news = granting.record_all([(each.call, each.view, each.epochs) for each in given])
            for each, new in zip(given, news, strict=True):
                self._evidence.keep(each.call, each.view.spec.number, each.epochs, new=new)
                outcomes[each.place] = self._reply(each.call, each.view, each.request, each.epochs, each.held)
            self._on_grants(sum(news))
        return outcomes

    def _permitted(self, asked: "list[_Open]", outcomes: list[Reply | SealcastError]) -> "list[_Open]":
        """Return those that are permitted keys, with the epochs that they are given; tell the others no."""
        call = asked[0].call
        wanted = [(each.call.caller.id, each.view.spec.number, each.epochs) for each in asked]
        decisions = self._admission(call.connection).permit_all(wanted, call.wall_ms)
        given: list[_Open] = []
        for each, decision in zip(asked, decisions, strict=True):
            spec = each.view.spec
            try:
                if not decision.permitted:
                    self._receptions.refused(each.call, spec)
                    raise refusal(decision.reason, decision.detail)
                permitted = self._receptions.permit(each.call, spec, each.epochs)
            except _NOES as no:
                outcomes[each.place] = no
                continue
            if each.held:
                permitted = tuple(epoch for epoch in permitted if KeyId(spec.number, epoch) not in each.held)
            given.append(each if permitted == each.epochs else each._replace(epochs=permitted))
        return given

    def repeat(self, call: Call, request: KeyRequest, epochs: tuple[Epoch, ...]) -> Reply:
        """Give the same keys once more, as far as they live and the device may have them still."""
        view = self._views.get(call.connection, request.channel)
        device, number = call.caller.id, view.spec.number
        decision = self._admission(call.connection).permit(device, number, epochs, call.wall_ms)
        if not decision.permitted:
            self._receptions.refused(call, view.spec)
            raise refusal(decision.reason, decision.detail)
        given = tuple(epoch for epoch in epochs if view.has_key(epoch))
        self._record(call, view, given)
        return self._reply(call, view, request, given, _held(request))

    def _record(self, call: Call, view: ChannelView, given: tuple[Epoch, ...]) -> None:
        """Put grants on record before any key leaves, with what they go back to."""
        new = granting.record(call, view, given)
        self._evidence.keep(call, view.spec.number, given, new=new)
        self._on_grants(new)

    def _reply(
        self,
        call: Call,
        view: ChannelView,
        request: KeyRequest,
        epochs: tuple[Epoch, ...],
        held: frozenset[KeyId],
    ) -> Reply:
        if held or view.chains:
            return Reply(self._grant(call, view, request.jti, epochs, held), epochs)
        wanted = view.spec.number, epochs
        prepared = self._views.prepared.get(wanted)
        if (
            prepared is None
            or not 0 <= call.now - prepared.made_ns < PREPARED_NS
            or prepared.air_changes != self._air.changes
        ):
            whole = encode(self._grant(call, view, "", epochs, held))
            prepared = Prepared(call.now, self._air.changes, whole.removeprefix(_BEFORE_JTI + b'""'))
            self._views.prepared[wanted] = prepared
        return Reply(msgspec.Raw(_BEFORE_JTI + msgspec.json.encode(request.jti) + prepared.rest), epochs)

    def _grant(
        self,
        call: Call,
        view: ChannelView,
        jti: str,
        epochs: tuple[Epoch, ...],
        held: frozenset[KeyId],
    ) -> Grant:
        number, row = view.spec.number, view.on_air
        on_air = OnAir(None, {})
        if row is not None:
            on_air = OnAir(self._air.latest(number, row.epoch), self._air.runs(number, row.epoch))
        return make_grant(
            view,
            on_air,
            {epoch: self._views.tek(call.connection, view, epoch) for epoch in epochs},
            jti=jti,
            key_servers=self.key_servers,
            events=self.events,
            audience=self._audience(call, number),
            now=call.now,
            heartbeat_ms=self._receptions.heartbeat_ms,
            held=held,
            first_epoch=granting.first_granted(call, view, epochs),
        )

    def _audience(self, call: Call, number: ChannelNumber) -> int:
        """Return how many may ask for a channel's keys, as counted within the last `COUNTED_NS`."""
        counted = self._audiences.get(number)
        if counted is None or not 0 <= call.now - counted[0] < COUNTED_NS:
            if len(self._audiences) >= CHANNELS_MAX:
                self._audiences.clear()
            counted = self._audiences[number] = call.now, self._admission(call.connection).audience(number)
        return counted[1]


def _not_listed(device: str) -> Decision:
    detail = f"{device} is not subscribed to this channel; ask its operator for it"
    return Decision(permitted=False, detail=detail)


def _held(request: KeyRequest) -> frozenset[KeyId]:
    """Return the keys that the device holds; raises FormatError for what is no key ID."""
    if request.key_id is not None:
        KeyId.parse(request.key_id)
    if len(request.held) > HELD_MAX:
        raise refusal("bad-request", f"a device holds at most {HELD_MAX} keys of a channel")
    return frozenset(KeyId.parse(text) for text in request.held) if request.held else _NONE_HELD
