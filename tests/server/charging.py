"""Owns what tests of tariffs and customers share: an operator who asks, and what the database says after."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import sqlalchemy as sa

from sealcast.billing.tables import billed_periods
from sealcast.core.ports import NS_PER_MS
from sealcast.device.newkeys import KeyKind
from sealcast.messages import operations
from sealcast.messages.channels import ChannelData
from sealcast.messages.charging import PriceTerms, StepTerms, Terms
from sealcast.messages.operation import Operation
from server.inprocess import InProcess

T = TypeVar("T")
DAY_MS = 86_400_000
TABLES = ("tariffs", "tariff_versions", "assignments", "customers", "customer_devices", "audit")


class Charging(InProcess):
    """A key server with what an operator says to it."""

    @property
    def now_ms(self) -> int:
        """What the server's clock says."""
        return self.clock.wall_ns() // NS_PER_MS

    def let_days_pass(self, days: int) -> None:
        """Let days pass; the operator's nonce does not last as long."""
        self.clock.advance(days * DAY_MS * NS_PER_MS)
        self.run(self.operator.fetch_nonce())

    def ask(self, operation: Operation, **fields: Any) -> Any:
        """Ask as the operator and return the answer."""
        return self.run(self.operator.must(operation, **fields))

    def refused(self, operation: Operation, **fields: Any) -> tuple[str, str]:
        """Ask for what is refused; return the problem and its one line. Nothing may have changed."""
        before = self.rows()
        reply = self.run(self.operator.ask(operation, **fields))
        assert self.rows() == before
        assert reply.status != 200, fields
        assert reply.detail
        assert "\n" not in reply.detail
        return reply.problem, reply.detail

    def rows(self) -> dict[str, list[Any]]:
        """Return all that the database says of tariffs and customers, and what the operator did."""
        return {table: self.read(f"SELECT * FROM {table}") for table in TABLES}  # noqa: S608 - our names

    def add_channel(self, name: str) -> int:
        """Add a channel and return its number."""
        port = 5004 + 2 * len(self.read("SELECT 1 FROM channels"))
        data = ChannelData(name=name, group="239.255.9.1", port=port)
        return int(self.ask(operations.CHANNEL_ADD, channel=data).channels[0].channel.number)

    def add_device(self, name: str) -> None:
        """Register a device."""
        sealed = self.newcomer(KeyKind.SYMMETRIC).sealed_keys()
        self.ask(operations.REGISTRY_ADD, id=name, role="device", sealed_keys=sealed)

    def subscribe(self, device: str, channel: str) -> None:
        """Subscribe a device, as of now."""
        self.ask(operations.SUBSCRIBER_ADD, channel=channel, device=device)

    def close_period(self, customer: str, start_ms: int, end_ms: int) -> None:
        """Close a period of a customer, as its bill does."""
        row = {"customer": customer, "start_ms": start_ms, "end_ms": end_ms, "closed_at_ms": self.now_ms}
        self.look(lambda connection: connection.execute(billed_periods.insert(), row).close())

    def look(self, work: Callable[[sa.Connection], T]) -> T:
        """Return what a unit of work does in the server's database."""
        return self.run(self._server.unit_of_work.run(work))


def flat(price_micro: int = 9_990_000, **more: Any) -> Terms:
    """Return the terms of so much for a period."""
    price = PriceTerms(name="Subscription", quantity="periods", steps=[StepTerms(price_micro=price_micro)])
    return Terms(prices=[price], **more)


@contextmanager
def charging() -> Iterator[Charging]:
    """Give a key server with the channels news and sport, and the devices TV-1 and TV-2."""
    server = Charging()
    try:
        for name in ("news", "sport"):
            server.add_channel(name)
        for name in ("TV-1", "TV-2"):
            server.add_device(name)
        yield server
    finally:
        server.close()
