"""Owns what the parts of a chaos run write down, in files that the judge reads afterwards.

Instants are nanoseconds of the machine's monotonic clock, which all hosts of a land share.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

from sealcast.device.vault import Credential
from sealcast.messages.channels import ChannelData

DATA, CONTROL = 0, 1
_HEARD = struct.Struct("!QBIIII8s")


class Heard(msgspec.Struct, frozen=True):
    """A packet on the air. `index` is the sequence number of data, the SRTCP index of control packets."""

    at_ns: int
    kind: int
    channel: int
    epoch: int
    ssrc: int
    index: int
    digest: bytes

    def pack(self) -> bytes:
        """Return it as it stands in a recording."""
        return _HEARD.pack(
            self.at_ns, self.kind, self.channel, self.epoch, self.ssrc, self.index, self.digest
        )


class Run(msgspec.Struct):
    """Consecutive packets of one stream and epoch that a receiver opened, or that came to its host."""

    channel: int
    epoch: int
    ssrc: int
    first: int
    last: int
    first_ns: int
    last_ns: int


class Given(msgspec.Struct, frozen=True):
    """A key in a grant that a receiver took: `digest` tells keys apart, without being one."""

    channel: int
    epoch: int
    digest: str
    at_ns: int
    server: str


class Life(msgspec.Struct):
    """What one receiver did in a run of the laboratory; `ended` says why it ended, if it did by itself."""

    device: str
    home: str
    channel: int = 0
    opened: list[Run] = []
    given: list[Given] = []
    ended: str = ""
    ended_ns: int = 0


class Home(msgspec.Struct):
    """All receivers of one host, what came to it, what the kernel had no room for, how late it ever was."""

    name: str
    arrived: list[Run]
    lives: list[Life]
    drops: int
    cpu_s: float
    late_s_max: float = 0.0


class Watcher(msgspec.Struct, frozen=True):
    """A device and the channel that it watches."""

    channel: str
    credential: Credential


class Crowd(msgspec.Struct, frozen=True):
    """What a crowd is told: its host's name, the file of its watchers, where its story goes."""

    home: str
    watchers: str
    story: str


class Order(msgspec.Struct, frozen=True):
    """What the office is to register, and in which files vaults (`studios`, `desk`) and watchers go."""

    operator: str
    servers: list[str]
    channels: list[ChannelData]
    studios: dict[str, str]
    homes: dict[str, str]
    devices_each: int
    desk: str


def extend(runs: list[Run], packet: Heard) -> None:
    """Add a packet to the runs of one receiver; about 1 µs where it follows the last."""
    for run in reversed(runs[-4:]):
        if run.ssrc == packet.ssrc and run.epoch == packet.epoch and run.channel == packet.channel:
            if packet.index == (run.last + 1) & 0xFFFF:
                run.last, run.last_ns = packet.index, packet.at_ns
                return
            break
    place = (packet.channel, packet.epoch, packet.ssrc, packet.index, packet.index)
    runs.append(Run(*place, packet.at_ns, packet.at_ns))


def read_recording(file: Path) -> Iterator[Heard]:
    """Give the packets of a recording; a last one that was cut short is left out."""
    data = file.read_bytes()
    whole = len(data) // _HEARD.size * _HEARD.size
    for fields in _HEARD.iter_unpack(data[:whole]):
        yield Heard(*fields)
