"""Owns a broadcaster in the laboratory: a key server, a studio and two viewers, each a machine on a leg."""

import contextlib
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cli.terminal import READY_LINE, Result
from integration.machines import FACT_S, Machine, Running
from lab import udp
from lab.hosts import wait_until
from lab.topology import Family, Lab, routed_lab
from sealcast.transport.address import format_place

KEY_SERVER_PORT = 8443
STREAM_PORT = 5004
UNUSED_PORT = 9
"""Datagrams to it (9 is "discard") go where the stream will go, and no program takes them."""


REORDER_MS = "200"
"""A busy machine may hold what one of its processors sends back for longer than the usual 20 ms."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel of the operator; with a source, viewers join it from that source alone."""

    name: str
    group: str
    source: str | None = None

    @property
    def url(self) -> str:
        """The address of its stream, for a viewer who knows nothing else."""
        place = format_place(self.group, STREAM_PORT)
        return f"rtp://{self.source}@{place}" if self.source else f"rtp://{place}"


@dataclass(frozen=True, slots=True)
class Viewer:
    """A machine with the vault of one subscribed device."""

    machine: Machine
    device: str

    def start(self, target: str, output: str, *options: str, level: str = "info") -> Running:
        """Run `receive` in the background, writing to `output` in the machine's folder."""
        return Running(self.machine.start("receive", *self._arguments(target, output), *options, level=level))

    def run(self, target: str, output: str, *options: str) -> Result:
        """Run `receive` to its end."""
        return self.machine.run("receive", *self._arguments(target, output), *options)

    def received(self, output: str) -> bytes:
        """Return what it wrote to `output`."""
        return (self.machine.folder / output).read_bytes()

    def _arguments(self, target: str, output: str) -> list[str]:
        vault, place = self.machine.folder / f"{self.device}.vault", self.machine.folder / output
        files = ["--credential", str(vault), "--output", str(place)]
        return [target, *files, "--reorder-ms", REORDER_MS, "--json"]


@dataclass(frozen=True, slots=True)
class Broadcast:
    """A laboratory in which the key server runs and a sender and two devices are registered."""

    lab: Lab
    operator: Machine
    studio: Machine
    first: Viewer
    """On leg A."""
    second: Viewer
    """On leg B."""

    def add_channel(self, name: str, group: str, *options: str, source: str | None = None) -> Channel:
        """Add a channel and subscribe both devices to it."""
        sources = ("--source", source) if source else ()
        place = format_place(group, STREAM_PORT)
        self.operator.good("channel", "add", name, "--group", place, "--sender", "studio", *sources, *options)
        for viewer in (self.first, self.second):
            self.operator.good("subscriber", "add", name, viewer.device)
        return Channel(name, group, source)

    def open_route(self, channel: Channel) -> None:
        """Return once the router forwards the group to leg A: it may drop what comes before that."""
        before = self.lab.carried(self.lab.leg_a)
        forerunner = self.lab.sender.start(
            sys.executable, udp.__file__, "send", channel.group, str(UNUSED_PORT)
        )
        wait_until(lambda: self.lab.carried(self.lab.leg_a) > before, f"a route for {channel.group}", FACT_S)
        forerunner.stop()

    def send(self, channel: Channel, film: Path, *options: str) -> Running:
        """Run `send` in the background on the studio's machine."""
        vault = self.studio.folder / "studio.vault"
        arguments = (channel.name, "--credential", str(vault), "--input", str(film), "--json")
        return Running(self.studio.start("send", *arguments, *options))


@contextlib.contextmanager
def on_air(family: Family, folder: Path) -> Iterator[Broadcast]:
    """Build the laboratory, set the operator up by its commands, and carry each vault to its machine."""
    with routed_lab(family) as lab:
        hosts = {"keys": lab.keys, "studio": lab.sender, "tv-a": lab.leg_a, "tv-b": lab.leg_b}
        machines = {name: Machine(host, folder / name) for name, host in hosts.items()}
        operator = machines["keys"]
        _start_key_server(operator, lab.address(lab.keys))
        for name in ("studio", "tv-a", "tv-b"):
            role = "sender" if name == "studio" else "device"
            operator.good("registry", "add", name, "--role", role, "--output", f"{name}.vault")
            carry(name, operator.folder, machines[name].folder)
        yield Broadcast(
            lab=lab,
            operator=operator,
            studio=machines["studio"],
            first=Viewer(machines["tv-a"], "tv-a"),
            second=Viewer(machines["tv-b"], "tv-b"),
        )


def _start_key_server(operator: Machine, address: str) -> None:
    """Make the operator, its key server known by the address of its host, and start that server."""
    place = format_place(address, KEY_SERVER_PORT)
    operator.good("init", "--dir", ".", "--operator", "Test TV", "--host", address, "--listen", place)
    server = operator.start("serve", "keyserver", "--listen", place)
    wait_until(
        lambda: READY_LINE in server.stdout() or not server.running(), "the key server listening", FACT_S
    )
    assert server.running(), server.stderr()


def carry(name: str, source: Path, target: Path) -> None:
    """Move a vault and its key file to the machine of their owner, whose programs need no other file."""
    for suffix in ("vault", "key"):
        shutil.move(source / f"{name}.{suffix}", target / f"{name}.{suffix}")
    (target / "sealcast.toml").touch(mode=0o600)
