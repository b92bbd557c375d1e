"""Owns `sealcast send --schedule`: plans from a schedule file, what is sent when, and the summary."""

import asyncio
import datetime as dt
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from sealcast.cli import acting, fleet, output
from sealcast.cli.failures import FAILED
from sealcast.cli.sendmany import describe
from sealcast.client.choosing import Choice
from sealcast.config.places import private_dir, state_dir
from sealcast.config.schedule import Schedule, read_schedule
from sealcast.core.channel import format_duration, parse_duration_ms
from sealcast.core.errors import UsageError
from sealcast.core.ports import NS_PER_MS
from sealcast.gateway.programme import Agenda, Programme, Showing, clashes
from sealcast.gateway.programmes import Playbill, Programmes, Shown, open_content, problem_of
from sealcast.gateway.sending import SendPlan, SendSummary, send_channels
from sealcast.sender.run import SendSettings
from sealcast.transport.system import SystemClock, SystemRandom

SHOWN_HOURS = 24
"""What `--check` prints: from what runs now to all that starts within a day."""

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """One programme of `--check`; instants in ISO 8601 with the offset of the file's zone."""

    start: str
    until: str | None
    channel: str
    content: str
    key: str
    line: str
    problem: str | None


@dataclass(frozen=True, slots=True)
class Checked:
    """What `--check` says: the programmes of the next day, and all that is wrong."""

    zone: str
    programmes: list[PlannedRow]
    problems: list[str]


@dataclass(frozen=True, slots=True)
class ScheduleSummary:
    """What a schedule's sender has done: the channels, and what became of each programme."""

    sending: SendSummary
    programmes: list[Shown]


def check_schedule(path: str, *, json: bool) -> None:
    """Print what a schedule sends when; status 1 where something is wrong. Asks no key server."""
    schedule = read_schedule(Path(path))
    now_ms = SystemClock().wall_ns() // NS_PER_MS
    checked = asyncio.run(_checked(schedule, now_ms))
    if json:
        output.print_json(checked)
    else:
        rows = [
            (each.start, each.until or "its end", each.channel, each.content, each.key, each.problem or "-")
            for each in checked.programmes
        ]
        headers = ("START", "UNTIL", "CHANNEL", "CONTENT", "KEY", "PROBLEM")
        output.print_table(headers, rows, empty="nothing starts within a day")
        for problem in checked.problems:
            output.print_line(problem, to_stderr=True)
    if checked.problems:
        raise typer.Exit(FAILED)


def send_schedule(
    context: typer.Context,
    path: str,
    *,
    credential: str | None,
    interface: str | None,
    standby: str | None,
    is_beside: bool,
    ttl: int | None,
    json: bool,
) -> None:
    """Send the programmes of a schedule, each channel's one after the other, until the last is over."""
    schedule = read_schedule(Path(path))
    clock, head = SystemClock(), schedule.head
    _refuse_clashes(schedule, clock.wall_ns() // NS_PER_MS)
    loaded = acting.settings(context)
    vaults = fleet.Vaults(context, loaded, "sender", credential or _beside(schedule, head.credential))
    vault, reloading = vaults.open(None)
    folder = private_dir(Path(loaded.settings.sender.state or state_dir(os.environ) / "sender"))
    standby_ms = None if standby is None else parse_duration_ms(standby)
    bills: list[Playbill] = []
    plans: list[SendPlan] = []
    for channel in schedule.channels:
        bills.append(bill := Playbill(Agenda(_of(schedule, channel)), clock))
        settings = SendSettings(
            credential=vault.credential,
            channel=channel,
            state_directory=folder,
            interface=interface or head.interface,
            ttl=head.ttl if ttl is None else ttl,
            is_beside=is_beside,
            keep=vault.keep_certificates,
            attach=reloading.attach,
            servers=Choice(loaded.settings.sender.servers),
            silence_s=loaded.settings.sender.silence_s,
        )
        plans.append(replace(_plan(settings, bill, schedule, clock), standby_ms=standby_ms))
    if all(bill.first() is None for bill in bills):
        raise UsageError(f"{path}: every programme is over; nothing starts any more")

    async def work(stop: asyncio.Event, observe: Callable[[SendSummary], None]) -> SendSummary:
        return await send_channels(plans, clock=clock, random=SystemRandom(), stop=stop, observe=observe)

    sent, was_told = fleet.run(work, describe, vaults.reload)
    if sent is None:
        return
    summary = ScheduleSummary(sent, [shown for bill in bills for shown in bill.shown])
    fleet.conclude(
        summary, lambda: _print(summary, schedule.zone), failed=sent.failed, was_told=was_told, json=json
    )


def _plan(settings: SendSettings, bill: Playbill, schedule: Schedule, clock: SystemClock) -> SendPlan:
    def opened() -> Programmes:
        return Programmes(bill, clock, stay_ms=schedule.stay_ms, interface=settings.interface)

    return SendPlan(settings, opened, has_more=lambda: bill.first() is not None)


async def _checked(schedule: Schedule, now_ms: int) -> Checked:
    problems = [_clash_line(one, other) for one, other in _clashes(schedule, now_ms)]
    wrong: dict[str, str] = {}
    for programme in schedule.programmes:
        if (problem := await problem_of(programme)) is not None:
            wrong[programme.where] = problem
            problems.append(f"{programme.where}: {problem}")
    showings = [
        showing for channel in schedule.channels for showing in _day(Agenda(_of(schedule, channel)), now_ms)
    ]
    rows = [_row(showing, wrong) for showing in sorted(showings, key=lambda each: each.start_ms)]
    return Checked(schedule.head.zone, rows, problems)


def _day(agenda: Agenda, now_ms: int) -> list[Showing]:
    """Return what is sent now, and all that starts within a day; of a schedule far ahead, its first."""
    first = agenda.now_or_next(now_ms)
    if first is None:
        return []
    until_ms = now_ms + SHOWN_HOURS * 3_600_000
    return [first, *agenda.showings(first.start_ms + 1, until_ms)]


def _row(showing: Showing, wrong: dict[str, str]) -> PlannedRow:
    programme, zone = showing.programme, showing.programme.zone
    until = None if showing.end_ms is None else _iso(showing.end_ms, zone)
    key = "new at its start" if programme.change == "at-start" else "goes on"
    if programme.lifetime_ms is not None:
        key += f", {format_duration(programme.lifetime_ms)} each"
    return PlannedRow(
        start=_iso(showing.start_ms, zone),
        until=until,
        channel=programme.channel,
        content=programme.content,
        key=key,
        line=programme.where,
        problem=wrong.get(programme.where),
    )


def _refuse_clashes(schedule: Schedule, now_ms: int) -> None:
    """Raise UsageError if two programmes of a channel start at once, or what does not go together stands."""
    for one, other in _clashes(schedule, now_ms):
        raise UsageError(_clash_line(one, other))
    if sum(each.content == "-" for each in schedule.programmes) > 1:
        raise UsageError(f"{schedule.path}: standard input is for one programme alone")
    for programme in schedule.programmes:
        with fleet.place(programme.where):
            open_content(programme)


def _clashes(schedule: Schedule, now_ms: int) -> list[tuple[Showing, Showing]]:
    return clashes(schedule.programmes, now_ms - DAY_MS, now_ms + 8 * DAY_MS)


def _clash_line(one: Showing, other: Showing) -> str:
    at = one.local_start.isoformat(timespec="seconds")
    return f"{other.programme.where}: it starts at {at}, as does {one.programme.where}"


def _of(schedule: Schedule, channel: str) -> list[Programme]:
    return [each for each in schedule.programmes if each.channel == channel]


def _beside(schedule: Schedule, name: str | None) -> str | None:
    return None if name is None else str(schedule.path.parent / Path(name).expanduser())


def _iso(at_ms: int, zone: dt.tzinfo) -> str:
    return dt.datetime.fromtimestamp(at_ms / 1_000, zone).isoformat(timespec="seconds")


def _print(summary: ScheduleSummary, zone: dt.tzinfo) -> None:
    rows = [
        (
            _iso(shown.start_ms, zone),
            shown.channel,
            shown.content,
            "-" if shown.epoch is None else str(shown.epoch),
            shown.why_not or ("joined in the middle" if shown.joined_after_ms else "sent"),
        )
        for shown in sorted(summary.programmes, key=lambda each: each.start_ms)
    ]
    output.print_table(("START", "CHANNEL", "CONTENT", "EPOCH", "WHAT"), rows, empty="nothing was sent")
    sent = summary.sending
    output.print_line(f"{sent.packets} packets, {sent.bytes / 1e6:.1f} MB")
