"""Owns a key server in this process, a sender that reports what is on air, and devices that fetch keys."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sealcast.billing.usage import UsageEvent
from sealcast.core.ports import NS_PER_MS
from sealcast.device.vault import Credential
from sealcast.messages import operations
from sealcast.messages.requests import EpochTotals
from sealcast.server.billing import source as billing_source
from sealcast.server.billing.air import record_air
from sealcast.server.billing.keys import SigningKeys, signing_keys
from sealcast.server.state import load_server_state
from server.charging import Charging
from server.inprocess import Guest
from server.running import Caller, Running, material

SETTLE_MS = 15_000
LIFETIME_MS = 600_000
MINUTE_MS = 60_000
BYTES_PER_MS, MS_PER_PACKET = 1_250, 10
"""What the sender sends: 10 Mbit/s in a hundred packets a second."""

PARTS = (
    "SELECT epoch, part, turn, cause, start_ms, end_ms, bytes, packets FROM aired"
    " WHERE channel = {} ORDER BY number"
)


class Inside(Running):
    """The key server in this process, as tests of a running one ask it."""

    def __init__(self, site: "OnAir") -> None:
        super().__init__(Path(), "", site.operator)
        self.site = site

    def caller(self, credential: Credential) -> Guest:
        """Return another party's side."""
        return self.site.guest(credential)


class OnAir(Charging):
    """A key server with a channel `news` of fetched keys, its sender `studio`, and whoever is asked for."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.began_ms = self.now_ms
        self.parties: dict[str, Caller] = {}
        self.number = 0
        self.ssrcs: list[int] = []
        self.published = 0

    def set_up(self) -> None:
        """Add the channel and its sender, with a lease."""
        server = Inside(self)
        row = self.run(server.add_channel("news", lifetime_ms=LIFETIME_MS))
        self.number = row.channel.number
        self.parties["studio"] = self.run(server.register("studio", "sender", channels=["news"]))
        lease = self.run(self.studio.must(operations.LEASE, channel="news"))
        self.ssrcs = [slot.ssrc for slot in lease.slots]

    @property
    def studio(self) -> Caller:
        """The sender."""
        return self.parties["studio"]

    @property
    def signing_keys(self) -> SigningKeys:
        """What finds the keys that devices sign with."""
        return signing_keys(load_server_state(self._settings.state_directory).master_key)

    def device(self, name: str) -> None:
        """Register a device that is subscribed from now on."""
        self.parties[name] = self.run(Inside(self).register(name, "device", channels=["news"]))

    def pass_ms(self, duration_ms: int) -> None:
        """Let time pass; nonces grow old."""
        self.clock.advance(duration_ms * NS_PER_MS)
        for party in (self.operator, *self.parties.values()):
            party.nonce = ""

    def at(self, minutes: float) -> None:
        """Let time pass until so many minutes after the beginning."""
        self.pass_ms(self.began_ms + int(minutes * MINUTE_MS) - self.now_ms)

    def publish(self, *epochs: int) -> None:
        """Publish the keys of epochs."""
        for epoch in epochs:
            reply = self.run(Inside(self).publish(self.studio, "news", material(self.number, epoch)))
            assert reply.status == 200, reply.detail

    def report(
        self, epoch: int, cause: str = "schedule", *, run: int = 1, ended: bool = False, **sent_ms: int
    ) -> None:
        """Report an epoch on air by a run, counted from 1; `e1=600_000` says ten minutes of epoch 1."""
        totals = [totals_of(int(name[1:]), duration_ms) for name, duration_ms in sent_ms.items()]
        fields: dict[str, Any] = {"cause": cause, "totals": totals, "ended": ended}
        ssrc = self.ssrcs[run - 1]
        reply = self.run(Inside(self).report(self.studio, "news", ssrc, epoch, **fields))
        assert reply.status == 200, reply.detail

    def fetch(self, device: str) -> list[int]:
        """Have a device ask for keys; return the epochs that it got."""
        grant = self.run(self.parties[device].must(operations.KEYS, channel="news"))
        return [int(key.material.key_id[8:], 16) for key in grant.keys]

    def record(self) -> int:
        """Record what is settled; return how many parts that made."""
        return self.look(lambda connection: record_air(connection, self.now_ms, SETTLE_MS))

    def parts(self) -> list[tuple[Any, ...]]:
        """Return what is recorded, instants in minutes from the beginning."""
        return [
            (*row[:4], (row[4] - self.began_ms) / MINUTE_MS, (row[5] - self.began_ms) / MINUTE_MS, *row[6:])
            for row in self.read(PARTS.format(self.number))
        ]

    def usage(self, device: str, since_ms: int = 0) -> tuple[UsageEvent, ...]:
        """Return the usage of a device, read alone and with all others: it must be the same."""

        def read(connection: Any) -> tuple[UsageEvent, ...]:
            air = billing_source.air_log(connection, self.number, since_ms)
            alone = billing_source.usage_of(connection, device, air)
            assert dict(billing_source.usage_of_channel(connection, air)).get(device, ()) == alone
            return alone

        return self.look(read)


@contextmanager
def on_air(**settings: Any) -> Iterator[OnAir]:
    """Give a key server with a channel and its sender; nothing is on air. `settings` are the server's."""
    site = OnAir(**settings)
    try:
        site.set_up()
        yield site
    finally:
        site.close()


def totals_of(epoch: int, duration_ms: int) -> EpochTotals:
    """Return the totals of so much time on air."""
    packets, size = duration_ms // MS_PER_PACKET, duration_ms * BYTES_PER_MS
    return EpochTotals(epoch=epoch, duration_ms=duration_ms, packets=packets, bytes=size)


def sent(duration_ms: int) -> tuple[int, int]:
    """Return bytes and packets of so much time on air."""
    totals = totals_of(1, duration_ms)
    return totals.bytes, totals.packets
