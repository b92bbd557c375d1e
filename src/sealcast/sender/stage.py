"""Owns what a source of several contents does to the run that sends it: keys change with the content."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from sealcast.core.ids import Epoch
from sealcast.core.ports import Clock
from sealcast.sender.departures import Departures
from sealcast.sender.pump import Pump
from sealcast.sender.session import SenderSession


@runtime_checkable
class Staged(Protocol):
    """A source that is told of its run, before the run goes on air."""

    def take_stage(self, stage: "Stage") -> None:
        """Take the run that sends this source from now on."""
        ...


class Stage:
    """The run of a source with several contents; instants are monotonic ns."""

    def __init__(
        self,
        session: SenderSession,
        pump: Pump,
        departures: Departures,
        clock: Clock,
        advance: Callable[[], None],
    ) -> None:
        """`advance` carries out what the session wants after it was told something."""
        self._session, self._pump, self._departures = session, pump, departures
        self._clock, self._advance = clock, advance

    @property
    def has_sent(self) -> bool:
        """Whether a packet has left: a run that has sent nothing yet is under a fresh key."""
        return self._pump.sent > 0

    @property
    def epoch(self) -> Epoch | None:
        """The epoch on air."""
        return self._session.state(self._clock.monotonic_ns()).epoch

    def stream_ns(self) -> int:
        """Return the time on the stream's clock, from which the offsets of runs count."""
        return self._pump.stream_ns(self._clock.monotonic_ns())

    async def drain(self) -> None:
        """Return when all that was given out has left."""
        if not self._pump.is_idle:
            await self._departures.drain(self._pump)

    def use_lifetime(self, lifetime_ms: int) -> None:
        """Let keys that go on air from now on live so long."""
        self._session.use_lifetime(lifetime_ms)

    def expect_change(self, at_ns: int, lifetime_ms: int | None) -> None:
        """Have a key ready for other content at an instant."""
        self._session.expect_change(at_ns, self._clock.monotonic_ns(), lifetime_ms)
        self._advance()

    def change_now(self) -> bool:
        """Change the key; False while receivers cannot have the next one."""
        is_done = self._session.change_now(self._clock.monotonic_ns())
        if is_done:
            self._advance()
        return is_done

    def give_up_change(self) -> None:
        """Let the next key come when it is ready, whatever the content does."""
        self._session.give_up_change()
        self._advance()
