"""Owns the run of a probe: two sockets, a time to end, and the session between them."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from sealcast.core.channel import CONTROL_PORT_OFFSET
from sealcast.core.ports import Clock
from sealcast.probe.report import ProbeReport
from sealcast.probe.session import ProbeSession
from sealcast.transport.address import PORT_MAX, Endpoint, format_place
from sealcast.transport.interfaces import InterfaceChoice, choose_interface
from sealcast.transport.multicast import MulticastReceiver, open_receiver

BATCH_PACKETS = 256
"""Datagrams taken at a time, so that the end is noticed under any load."""


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """Where to listen (the data port; control is the next one), for how long, and on which interface.

    With `enough_s` it ends so long after the first data packet, `for_s` being the most.
    """

    target: Endpoint
    for_s: float
    interface: str | None = None
    enough_s: float | None = None


async def probe(settings: ProbeSettings, *, clock: Clock, stop: asyncio.Event) -> ProbeReport:
    """Listen for `for_s` or until `stop` and return what was heard.

    Raises UsageError and UnreachableError as `choose_interface` and `open_receiver`.
    """
    choice = choose_interface(settings.target.host, settings.interface)
    listener = _Listener(settings.target, choice, clock, lambda: _end_soon(settings, stop))
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.for_s):
                await stop.wait()
    finally:
        listener.close()
    return listener.report()


def _end_soon(settings: ProbeSettings, stop: asyncio.Event) -> None:
    """Act on the first data packet."""
    if settings.enough_s is not None:
        asyncio.get_running_loop().call_later(settings.enough_s, stop.set)


class _Listener:
    """The joined sockets of one probe."""

    def __init__(
        self, target: Endpoint, choice: InterfaceChoice, clock: Clock, on_first: Callable[[], None]
    ) -> None:
        self._target = target
        self._choice = choice
        self._clock = clock
        self._on_first: Callable[[], None] | None = on_first
        self._session = ProbeSession()
        self._began_ns = clock.monotonic_ns()
        self._ended_ns = self._began_ns
        self._receivers: list[MulticastReceiver] = []
        try:
            self._join(target.port, self._on_data)
            if target.port < PORT_MAX:
                self._join(target.port + CONTROL_PORT_OFFSET, self._on_control)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave the group; what was heard stays."""
        self._ended_ns = self._clock.monotonic_ns()
        loop = asyncio.get_running_loop()
        for receiver in self._receivers:
            loop.remove_reader(receiver.fileno())
            receiver.leave()
            receiver.close()

    def report(self) -> ProbeReport:
        """Return what was heard."""
        drops = [receiver.drops() for receiver in self._receivers]
        report = self._session.report(
            target=_name(self._target),
            interface=str(self._choice),
            listened_ns=self._ended_ns - self._began_ns,
            now=self._ended_ns,
        )
        return replace(report, kernel_drops=None if None in drops else sum(d for d in drops if d is not None))

    def _join(self, port: int, on_readable: Callable[[MulticastReceiver], None]) -> None:
        receiver = open_receiver(self._target.host, port, self._choice.interface, self._target.source)
        self._receivers.append(receiver)
        asyncio.get_running_loop().add_reader(receiver.fileno(), on_readable, receiver)

    def _on_data(self, receiver: MulticastReceiver) -> None:
        self._session.handle_data(receiver.receive_batch(BATCH_PACKETS), self._clock.monotonic_ns())
        if self._on_first is not None:
            self._on_first()
            self._on_first = None

    def _on_control(self, receiver: MulticastReceiver) -> None:
        now = self._clock.monotonic_ns()
        for datagram in receiver.receive_batch(BATCH_PACKETS):
            self._session.handle_control(datagram, now)


def _name(target: Endpoint) -> str:
    place = format_place(target.host, target.port)
    return f"{target.source}@{place}" if target.source else place
