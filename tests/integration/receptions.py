"""Owns a broadcaster with a viewer on each of many legs, and what router and record say of who receives."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cli.terminal import READY_LINE
from integration.broadcast import KEY_SERVER_PORT, STREAM_PORT, carry
from integration.machines import FACT_S, Machine
from lab.hosts import LabError, wait_until
from lab.memberships import memberships
from lab.topology import Family, Lab, routed_lab
from lab.warm import Actor, Stage, warm

HEARTBEAT_S = 1
SILENCE_S = 3 * HEARTBEAT_S
"""Three heartbeats missed: so long a reception lives of a receiver that is not heard."""

MEMBERSHIP_S = 46.0
"""So long pimd may believe in a member that answers no query: as a rule twice its interval of 1 s, and 10 s
(RFC 3376 §8.4), but 46 s in one that it heard a single time."""

DUMP_S = 0.5
"""Each dump takes some of the time that pimd counts: asked 20 times a second, it is seconds late."""

GROUPS = {"film": "232.79.0.1", "news": "232.79.0.2"}
DATABASE = "keyserver/keyserver.sqlite"

Pairs = set[tuple[str, str]]
"""Devices and channels."""


@dataclass(frozen=True, slots=True)
class Reception:
    """A row of the record."""

    number: int
    device: str
    channel: str
    since_ms: int
    seen_ms: int
    packets: int
    ended_at_ms: int | None
    reason: str | None


COLUMNS = "number, device, channel_name, since_ms, seen_ms, packets, ended_at_ms, reason"


def read_record(database: Path) -> list[Reception]:
    """Return all receptions that a manager's database has, live or over, in their order."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute(f"SELECT {COLUMNS} FROM receptions ORDER BY number")  # noqa: S608 - constant
        return [Reception(*row) for row in rows]


def alive(record: list[Reception]) -> Pairs:
    """Return of whom a reception lives."""
    return {(each.device, each.channel) for each in record if each.ended_at_ms is None}


@dataclass(frozen=True, slots=True)
class Audience:
    """Viewers, one on a leg, of two channels on the air."""

    lab: Lab
    stage: Stage
    operator: Machine
    viewers: dict[str, Machine]
    """By their device."""

    def receive(self, device: str, channel: str, *options: str, by_address: bool = False) -> Actor:
        """Start a receiver."""
        machine = self.viewers[device]
        address = f"rtp://{self.lab.sender.ipv4}@{GROUPS[channel]}:{STREAM_PORT}"
        files = ("--credential", f"{device}.vault", "--output", "/dev/null", "--json")
        arguments = ("receive", address if by_address else channel, *files, *options)
        return self.stage.start(machine.host, machine.folder, machine.environment, *arguments)

    def operate(self, *arguments: str) -> str:
        """Run a command of the operator and return what it printed."""
        operator = self.operator
        return self.stage.start(operator.host, operator.folder, operator.environment, *arguments).wait()

    def record(self) -> list[Reception]:
        """Return the record."""
        return read_record(self.operator.folder / DATABASE)

    def live(self) -> Pairs:
        """Return who receives what, as the record has it."""
        return alive(self.record())

    def members(self) -> Pairs:
        """Return who receives what, by the memberships that the router knows."""
        devices = {machine.host.leg: device for device, machine in self.viewers.items()}
        channels = {group: channel for channel, group in GROUPS.items()}
        return {(devices[leg], channels[group]) for leg, group in memberships(self.lab)}

    def wait_for_agreement(self, wanted: Pairs, timeout_s: float) -> str:
        """Return once router and record both have those of `wanted` and nobody else, with what came last."""
        last = "nothing"

        def agreed() -> bool:
            nonlocal last
            time.sleep(DUMP_S)
            views = {"record": self.live(), "router": self.members()}
            wrong = {f"{name}: {sorted(view ^ wanted)}" for name, view in views.items() if view != wanted}
            last = ", ".join(sorted(wrong)) or last
            return not wrong

        try:
            wait_until(agreed, "router and record agreeing", timeout_s)
        except LabError as error:
            raise AssertionError(f"wanted {sorted(wanted)}; wrong in the {last}") from error
        return last


@contextlib.contextmanager
def on_record(folder: Path, more: int) -> Iterator[Audience]:
    """Open a broadcaster with two viewers and `more`, a heartbeat a second, and both channels on the air."""
    names = [f"v{number}" for number in range(more)]
    with routed_lab(Family.IPV4, *names) as lab, warm(folder / "stage", "sealcast.server.run") as stage:
        operator = Machine(lab.keys, folder / "keys", SEALCAST_KEYSERVER_HEARTBEAT_S=str(HEARTBEAT_S))
        studio = Machine(lab.sender, folder / "studio")
        hosts = (lab.leg_a, lab.leg_b, *lab.more)
        viewers = {f"tv-{host.leg}": Machine(host, folder / host.leg) for host in hosts}
        audience = Audience(lab, stage, operator, viewers)
        _start_key_server(audience)
        _register(audience, studio)
        for channel in GROUPS:
            _begin(stage, studio, channel)
        yield audience


def _start_key_server(audience: Audience) -> None:
    address, operator = audience.lab.keys.ipv4, audience.operator
    place = f"{address}:{KEY_SERVER_PORT}"
    audience.operate("init", "--dir", ".", "--operator", "Test TV", "--host", address, "--listen", place)
    serve = ("serve", "keyserver", "--listen", place)
    server = audience.stage.start(operator.host, operator.folder, operator.environment, *serve)
    wait_until(lambda: READY_LINE in server.out or not server.running(), "the key server", FACT_S)
    assert server.running(), server.err


def _register(audience: Audience, studio: Machine) -> None:
    audience.operate("registry", "add", "studio", "--role", "sender", "--output", "studio.vault")
    for channel, group in GROUPS.items():
        place, source = f"{group}:{STREAM_PORT}", audience.lab.sender.ipv4
        policy = ("--sender", "studio", "--lifetime", "20s")
        audience.operate("channel", "add", channel, "--group", place, "--source", source, *policy)
    channels = [word for channel in GROUPS for word in ("--channel", channel)]
    for device in audience.viewers:
        audience.operate("registry", "add", device, "--output", f"{device}.vault", *channels)
    for name, machine in {"studio": studio, **audience.viewers}.items():
        carry(name, audience.operator.folder, machine.folder)


def _begin(stage: Stage, studio: Machine, channel: str) -> None:
    """Put a channel on the air, with a few packets a second."""
    data = studio.folder / "data"
    data.write_bytes(bytes(1_000_000))
    options = ("--credential", "studio.vault", "--input", "data", "--rate", "100k", "--loop", "--json")
    sender = stage.start(studio.host, studio.folder, studio.environment, "send", channel, *options)
    wait_until(lambda: "on air" in sender.err or not sender.running(), f"{channel} on air", FACT_S)
    assert sender.running(), sender.err
