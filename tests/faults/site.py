"""Owns where faults happen: an operator on loopback, with channels, senders, receivers and a key server."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.terminal import READY_LINE, Terminal, free_port
from faults.nursery import POLL_S, WAIT_S, Child, Forks, Nursery
from sealcast.core.channel import Suite
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.core.secret import Secret
from sealcast.device.vault import Credential, load_vault
from sealcast.keys.material import Tek
from sealcast.keyserver.wrapped import unwrap_tek
from sealcast.server.state import load_server_state

BITS_PER_S = 400_000
"""Forty packets a second: enough to see every gap, and next to no work."""


@dataclass(frozen=True)
class Channel:
    """A channel of the site; its sender has the name of the channel with `-studio` behind."""

    name: str
    number: int
    group: str
    port: int = 5004

    @property
    def studio(self) -> str:
        """The party that sends on it."""
        return f"{self.name}-studio"


class Site:
    """Everything in one folder; the key server runs after `serve`. Input is raw, of made-up bytes."""

    def __init__(self, folder: Path, nursery: Nursery) -> None:
        self.folder = folder
        self.nursery = nursery
        self.keyserver: Child | None = None
        self.channels: dict[str, Channel] = {}
        self.film = folder / "film.bin"
        self.film.write_bytes(b"".join(number.to_bytes(8, "big") for number in range(3_000_000)))

    @property
    def database(self) -> Path:
        """Where the key server keeps what it knows."""
        return self.folder / "keyserver" / "keyserver.sqlite"

    def serve(self, *, wait: bool = True, **environment: str) -> Child:
        """Start the key server, and wait until it listens unless told otherwise."""
        self.keyserver = self.nursery.start("serve", "keyserver", **environment)
        if wait:
            self.keyserver.wait_for_line(READY_LINE)
        return self.keyserver

    def add_channel(self, name: str, *options: str) -> Channel:
        """Add a channel on loopback, with a sender of its own."""
        number = len(self.channels) + 1
        channel = Channel(name, number, f"239.255.{80 + os.getpid() % 160}.{number}")
        self.add_party(channel.studio, "--role", "sender")
        place = f"{channel.group}:{channel.port}"
        self.nursery.good(
            "channel",
            "add",
            name,
            "--group",
            place,
            "--interface",
            "lo",
            "--sender",
            channel.studio,
            *options,
        )
        self.channels[name] = channel
        return channel

    def add_viewer(self, name: str, *channels: str) -> None:
        """Register a device and put it on the allow list of channels."""
        self.add_party(name)
        for channel in channels:
            self.nursery.good("subscriber", "add", channel, name)

    def add_party(self, name: str, *options: str) -> None:
        """Register a party."""
        self.nursery.good("registry", "add", name, "--output", f"{name}.vault", *options)

    def credential(self, name: str) -> Credential:
        """Open a party's vault."""
        return load_vault(self.folder / f"{name}.vault")

    def send(self, channel: str, *options: str, **environment: str) -> Child:
        """Start a sender."""
        rate = ("--input", str(self.film), "--rate", str(BITS_PER_S), "--loop")
        vault = f"{channel}-studio.vault"
        return self.nursery.start(
            "send", channel, "--credential", vault, "--json", *rate, *options, **environment
        )

    def receive(self, channel: str, viewer: str, *options: str, **environment: str) -> Child:
        """Start a receiver and wait until it has joined."""
        output = ("--output", f"{viewer}-{channel}.bin", "--credential", f"{viewer}.vault", "--json")
        child = self.nursery.start("receive", channel, "--interface", "lo", *output, *options, **environment)
        child.wait_for("joined")
        return child

    def play(self, channel: str, viewer: str) -> tuple[Child, Child]:
        """Start a receiver and a sender; return them once the stream opens."""
        receiver = self.receive(channel, viewer, "--wait")
        sender = self.send(channel)
        self.wait_for_a_key(receiver)
        return receiver, sender

    @staticmethod
    def wait_for_a_key(receiver: Child) -> None:
        """Wait until a receiver was granted a key."""
        while not receiver.wait_for("granted")["keys"]:
            pass

    def query(self, text: str, *values: object) -> list[tuple[object, ...]]:
        """Read the key server's database, without a word from the key server."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=10) as connection:
            return connection.execute(text, values).fetchall()

    def teks(self) -> dict[KeyId, Tek]:
        """Return all keys that the database holds at present."""
        master = self._master_key()
        rows = self.query(
            "SELECT e.channel, e.epoch, c.suite, e.wrapped_key FROM epochs e JOIN channels c"
            " ON c.number = e.channel WHERE e.wrapped_key IS NOT NULL"
        )
        found = {}
        for number, epoch, suite, wrapped in rows:
            assert isinstance(number, int)
            assert isinstance(epoch, int)
            assert isinstance(wrapped, bytes)
            key_id = KeyId(ChannelNumber(number), Epoch(epoch))
            found[key_id] = unwrap_tek(master, key_id, Suite(suite), wrapped)
        return found

    def _master_key(self) -> Secret:
        return load_server_state(self.folder / "keyserver").master_key


@contextmanager
def new_site(folder: Path, forks: Forks) -> Iterator[Site]:
    """Give a site whose key server runs, without channels yet."""
    terminal = Terminal(folder, SEALCAST_LOGGING_LEVEL="info", SEALCAST_LOGGING_FORMAT="json")
    with Nursery(terminal, forks) as nursery:
        place = f"127.0.0.1:{free_port()}"
        nursery.good("init", "--dir", ".", "--operator", "Test TV", "--listen", place)
        site = Site(folder, nursery)
        site.serve()
        yield site


def holds(received: Path, summary: dict[str, object], film: Path) -> bool:
    """Whether a receiver's file is one piece of the film, which may begin anew, without a byte missing."""
    data, whole = received.read_bytes(), film.read_bytes()
    assert len(data) == summary["bytes_written"]
    if not data:
        return False
    start = whole.find(data[:64])
    return start >= 0 and (whole * (1 + (start + len(data)) // len(whole)))[start : start + len(data)] == data


def grows(file: Path) -> None:
    """Wait until more is written to a file."""
    size = file.stat().st_size
    ends = time.monotonic() + WAIT_S
    while file.stat().st_size == size:
        assert time.monotonic() < ends, f"{file.name} does not grow"
        time.sleep(POLL_S)
