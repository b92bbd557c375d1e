"""Decides which keys a device is told of, and puts the grant together."""

from collections.abc import Container, Mapping
from dataclasses import dataclass

from sealcast.core.ids import Epoch, KeyId, Ssrc
from sealcast.keys.material import Tek
from sealcast.keys.policy import fetch_window, repair_window, spread_ms
from sealcast.keys.schedule import link_of
from sealcast.keys.table import KeyState
from sealcast.keyserver.air import AirReport
from sealcast.keyserver.values import ChannelView
from sealcast.messages.answers import ChainGrant, FetchWindow, Grant, GrantedKey, KeyMaterial, StreamState
from sealcast.messages.channels import channel_data
from sealcast.messages.material import key_material, update_material

COMING_MAX = 2
"""Next keys given at once: receivers keep four, among them the one on air and the one before."""


@dataclass(frozen=True, slots=True)
class OnAir:
    """What is known of the epoch on air: its newest report, and that of each run."""

    latest: AirReport | None
    runs: Mapping[Ssrc, AirReport]


def choose_epochs(view: ChannelView) -> tuple[Epoch, ...]:
    """Return the epochs whose keys a device may be given now: the current one and the next.

    The next is the lowest that is published and may still go on air. One that is published and consumed has
    its report under way, or its run died before the first packet: it is given too, in case it is on air.
    One that a fence skips is given until one beyond the fence is published: its sender may not have heard.
    Where two senders have published one each, both are given: the one on air may have gone silent, and the
    other takes its place.
    """
    current = view.on_air
    published = [row for row in view.epochs if row.state is KeyState.PUBLISHED and row.has_key]
    published = [row for row in published if row.epoch >= view.floor] or published
    starting = [row.epoch for row in published if row.consumed][-1:]
    first_of = {row.sender: row.epoch for row in reversed(published) if not row.consumed}
    coming = sorted(first_of.values())[:COMING_MAX]
    on_air = [current.epoch] if current is not None and current.has_key else []
    return tuple(on_air + starting + coming)


def make_grant(
    view: ChannelView,
    on_air: OnAir,
    teks: Mapping[Epoch, Tek],
    *,
    jti: str,
    key_servers: tuple[str, ...],
    audience: int,
    now: int,
    heartbeat_ms: int = 0,
    events: tuple[str, ...] = (),
    held: Container[KeyId] = (),
    first_epoch: Epoch | None = None,
) -> Grant:
    """Return the grant of the keys in `teks`, with all that a receiver needs to use them.

    `heartbeat_ms` is how often a receiver is to say that it lives.

    `audience` is how many may ask for the channel's keys, `events` where events are pushed.

    `held` are the keys that the device has, so that of a chain it needs the update alone; `first_epoch` is
    the first of that chain that it was granted.
    """
    remaining_ms = on_air.latest.remaining_now_ms(now) if on_air.latest is not None else None
    window = None
    if view.on_air is not None and remaining_ms is not None:
        drawn = (repair_window if expects_chained(view) else fetch_window)(view.spec, remaining_ms)
        window = FetchWindow(opens_in_ms=drawn.opens_in_ms, closes_in_ms=drawn.closes_in_ms)
    return Grant(
        jti=jti,
        channel=channel_data(view.spec),
        keys=_granted_keys(view, on_air.latest, teks, held, now),
        streams=[
            StreamState(ssrc=ssrc, roc=run.roc, seq=run.seq, age_ms=run.age_ms(now))
            for ssrc, run in on_air.runs.items()
        ],
        senders=list(view.sender_keys),
        window=window,
        key_servers=list(key_servers),
        spread_ms=spread_ms(view.spec, audience),
        heartbeat_ms=heartbeat_ms,
        events=list(events),
        chain=_chain(teks, first_epoch),
    )


def expects_chained(view: ChannelView) -> bool:
    """Whether the next key follows from the one on air: then most receivers need not ask for it."""
    current = view.on_air
    if current is None or current.fresh_at is None:
        return False
    coming = [row for row in view.epochs if row.has_link and row.epoch >= max(view.floor, current.epoch + 1)]
    if coming:
        return coming[0].follows is not None
    return current.epoch + 1 < current.fresh_at and view.floor <= current.epoch


def key_id_of(view: ChannelView, epoch: Epoch) -> KeyId:
    """Return the key ID of an epoch of a channel."""
    return KeyId(view.spec.number, epoch)


def _chain(teks: Mapping[Epoch, Tek], first_epoch: Epoch | None) -> ChainGrant | None:
    """Return what the grant of these keys means: it is told of the chain of the first."""
    first = next(iter(teks.values()), None)
    if first is None or first.origin is None:
        return None
    began = first.key_id.epoch if first_epoch is None else first_epoch
    return ChainGrant(first_epoch=began, fresh_at=first.origin.fresh_at)


def _granted_keys(
    view: ChannelView,
    report: AirReport | None,
    teks: Mapping[Epoch, Tek],
    held: Container[KeyId],
    now: int,
) -> list[GrantedKey]:
    """Return the keys in order; a coming one that the device can derive from another comes as its update."""
    made: list[GrantedKey] = []
    linked: set[KeyId] = set()
    for tek in teks.values():
        is_current = view.on_air is not None and view.on_air.epoch == tek.key_id.epoch
        follows = tek.origin.follows if tek.origin is not None else None
        is_update = not is_current and follows is not None and (follows in linked or follows in held)
        material = update_material(tek) if is_update else key_material(tek)
        made.append(_granted(view, report if is_current else None, material, now))
        if link_of(tek) is not None:
            linked.add(tek.key_id)
    return made


def _granted(view: ChannelView, report: AirReport | None, material: KeyMaterial, now: int) -> GrantedKey:
    """Return one key; `report` is what is known of it if it is on air."""
    if report is None:
        lifetime_ms = view.spec.lifetime_ms
        return GrantedKey(material=material, state="next", remaining_ms=lifetime_ms, lifetime_ms=lifetime_ms)
    return GrantedKey(
        material=material,
        state="current",
        remaining_ms=report.remaining_now_ms(now),
        lifetime_ms=report.lifetime_ms,
        extended=report.extended,
    )
