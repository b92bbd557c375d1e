"""Owns group commit: all writes pass one thread, and many units of work share one durable transaction.

```
run(work) ──► bounded queue ──► BEGIN ─ n times (SAVEPOINT ─ work ─ RELEASE) ─ COMMIT ──► results
```
Items that wait for the same work (`run_together`) are given to it all at once, in one savepoint.
A transaction takes units until the queue is empty, at most for `GATHER_NS` after its first; a result is
given out only after the commit. A unit that raises is undone alone. While PostgreSQL does not answer, whoever
waits is refused, and the connection is made anew with a later unit.
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Generic, Protocol, TypeVar

import sqlalchemy as sa

from sealcast.core.errors import LocalError, RefusedError, SealcastError
from sealcast.storage.driving import Driver, changes_of, driver_of, has_written, is_in_transaction, is_lost
from sealcast.storage.engine import is_of_the_disk
from sealcast.storage.gathering import Gathering
from sealcast.storage.postgres import first_line

GATHER_NS = 5_000_000
"""The longest that a transaction gathers units after its first: what a lone request may wait for others."""

QUEUE_MAX = 4_096
"""Units waiting. Beyond it a caller waits too long to be served, and is told so at once."""

MANY_UNITS = 4
"""So many in the transaction before are load: lone requests, one after the other, never share one."""

RETRY_AFTER_S = 1.0
RECONNECT_NS = 500_000_000
"""Between two attempts to reach a database that was lost: a failed one may take some seconds."""

_log = logging.getLogger(__name__)
T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
Item = TypeVar("Item")
Together = Callable[[sa.Connection, Sequence[Item]], Sequence[T]]
"""Work on many items at once: a result for each, in their order."""

TOGETHER_MAX = 128
"""Items carried out at once: some milliseconds."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction did: how many units, and how long from its first to the end of its commit."""

    units: int
    duration_ns: int


class Outcome(Protocol[T_contra]):
    """Where the result of a unit goes, or its error: a future, or what does without one."""

    def done(self) -> bool:
        """Whether nobody waits for it any more."""
        ...

    def set_result(self, result: T_contra, /) -> None:
        """Take the result; raises nothing."""
        ...

    def set_exception(self, error: BaseException, /) -> None:
        """Take the error; raises nothing."""
        ...


class _Unit(Generic[T]):
    """One unit on its way: what to do, where the result goes, and what came of it.

    `together` is given `item` with those of others; where it is None, `work` is all there is to do.
    """

    __slots__ = ("error", "item", "loop", "outcome", "result", "together", "work")

    def __init__(
        self,
        work: Callable[[sa.Connection], T],
        outcome: Outcome[T],
        loop: asyncio.AbstractEventLoop | None,
        *,
        together: Together[Any, T] | None = None,
        item: Any = None,  # noqa: ANN401 - whatever `together` takes
    ) -> None:
        self.work, self.outcome, self.loop, self.together, self.item = work, outcome, loop, together, item
        self.result: T | None = None
        self.error: BaseException | None = None

    def resolve(self) -> None:
        """Hand out the result or the error, unless the caller has gone."""
        if self.outcome.done():
            return
        if self.error is not None:
            self.outcome.set_exception(self.error)
        else:
            self.outcome.set_result(self.result)  # type: ignore[arg-type]


class _Signal(Enum):
    """What stands in the place of a unit."""

    PAUSE = auto()
    END = auto()


class UnitOfWork:
    """Runs units of work over one connection in one thread.

    The hooks are called in that thread: `on_begin` at the beginning of each transaction, whose error every
    unit of it gets; `on_batch` after each commit, `on_undone` whenever work was rolled back, so that what was
    remembered of it can be forgotten.
    """

    def __init__(
        self,
        engine: sa.Engine,
        *,
        on_batch: Callable[[Batch], None] | None = None,
        on_undone: Callable[[], None] | None = None,
        on_begin: Callable[[sa.Connection], None] | None = None,
    ) -> None:
        self._engine = engine
        self._on_begin = on_begin
        self._connection = engine.connect()
        # Savepoints go past SQLAlchemy: its bookkeeping costs more than all of a small unit's own work.
        self._driver: Driver = driver_of(self._connection)
        self._is_lost = False
        self._reconnect_at_ns = 0
        self._on_batch = on_batch
        self._on_undone = on_undone
        # Of the two kinds this one takes and gives in 0.2 µs instead of 10, and is bounded by whoever puts.
        self._queue: queue.SimpleQueue[_Unit[Any] | _Signal] = queue.SimpleQueue()
        self._last_units = 0
        self._gathering = Gathering()
        self._closed = False
        self._is_failing = False
        self._thread = threading.Thread(target=self._write, name="sealcast-writer", daemon=True)
        self._thread.start()

    @property
    def takes_writes(self) -> bool:
        """Whether the last write did not fail for the disk or the connection."""
        return not self._is_failing

    async def run(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` and return its result once it is durable; raises what `work` raises.

        Raises RefusedError `busy` if too many wait, the disk takes no commit or the database does not answer
        (then it may have been written all the same), LocalError if the database does not take it.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._put(_Unit(work, future, loop))
        return await future

    async def run_together(self, together: Together[Item, T], item: Item) -> T:
        """Do as `run` for an item of many that wait for the same work.

        Those that do are given to `together` at once, in one savepoint. Where it raises, all of them are
        undone, and each is given to it by itself. Equal functions are the same work.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.begin_together(together, item, future)
        return await future

    def begin_together(self, together: Together[Item, T], item: Item, outcome: Outcome[T]) -> None:
        """Do as `run_together` and tell `outcome`, in the running loop: for whoever does without a task.

        Raises what `run` raises before anything is done.
        """
        loop = asyncio.get_running_loop()
        self._put(_Unit(lambda c: together(c, (item,))[0], outcome, loop, together=together, item=item))

    def run_blocking(self, work: Callable[[sa.Connection], T]) -> T:
        """Do as `run`, for callers without an event loop; never from inside a unit."""
        future: Future[T] = Future()
        self._put(_Unit(work, future, None))
        return future.result()

    def close(self) -> None:
        """Finish what waits, then close the database; may be called again. Blocks for a few commits."""
        if not self._closed:
            self._closed = True
            self._queue.put(_Signal.END)
        self._thread.join()
        self._connection.close()
        self._engine.dispose()

    def _put(self, unit: _Unit[Any]) -> None:
        if self._closed:
            raise LocalError("the database is closed")
        if self._queue.qsize() >= QUEUE_MAX:
            raise _busy("too many requests wait; ask again in a second")
        if unit.loop is not None:
            self._gathering.came(unit.loop)
        self._queue.put(unit)

    def _write(self) -> None:
        """Work off the queue until the end is asked for: the body of the writer thread."""
        following: _Unit[Any] | _Signal = _Signal.PAUSE
        while following is not _Signal.END:
            first = self._queue.get()
            following = first if isinstance(first, _Signal) else self._run_batch(first)

    def _run_batch(self, first: _Unit[Any]) -> _Signal:
        """Run `first` and those that follow in one transaction; return what ended it."""
        if self._is_lost and not self._reconnect(first):
            return self._refuse_all(first)
        units: list[_Unit[Any]] = []
        following: _Unit[Any] | _Signal = first
        has_changed = False
        try:
            self._linger()
            began_ns, changes_before = time.monotonic_ns(), changes_of(self._driver)
            with self._connection.begin():
                if self._on_begin is not None:
                    self._on_begin(self._connection)
                while not isinstance(following, _Signal):
                    if following.together is not None:
                        some, following = self._alike(following, began_ns)
                        units += some
                        self._run_together(some)
                        continue
                    units.append(following)
                    self._run_in_savepoint(following)
                    following = self._next(began_ns)
                if self._is_failing:
                    has_changed = has_written(self._driver, changes_before)
        except Exception as error:  # noqa: BLE001 - whatever the database says, every caller must hear of it
            if isinstance(following, _Unit) and following not in units:
                units.append(following)  # It was taken already, and its turn never came.
            self._lose(units, error)
        else:
            if has_changed:
                self._take_writes_again()
            self._tell(Batch(len(units), time.monotonic_ns() - began_ns))
        self._last_units = len(units)
        _hand_out(units)
        return following if isinstance(following, _Signal) else _Signal.PAUSE

    def _tell(self, batch: Batch) -> None:
        """Tell of a commit: it stands, so what goes wrong here is logged, and nobody waits for it."""
        try:
            if self._on_batch is not None:
                self._on_batch(batch)
        except Exception:  # noqa: BLE001 - the thread that everybody waits for goes on, whatever it is
            _log.exception("a commit was not told of")

    def _linger(self) -> None:
        """Under load let more units come before a transaction begins: they share its costs."""
        if self._last_units >= MANY_UNITS:
            self._gathering.wait()

    def _next(self, began_ns: int) -> _Unit[Any] | _Signal:
        if time.monotonic_ns() - began_ns >= GATHER_NS:
            return _Signal.PAUSE
        try:
            return self._queue.get_nowait()
        except queue.Empty:
            return _Signal.PAUSE

    def _alike(self, first: _Unit[Any], began_ns: int) -> tuple[list[_Unit[Any]], _Unit[Any] | _Signal]:
        """Return `first` with those behind it that wait for the same work, and what follows them."""
        some, following, together = [first], self._next(began_ns), first.together
        while (
            not isinstance(following, _Signal) and following.together == together and len(some) < TOGETHER_MAX
        ):
            some.append(following)
            following = self._next(began_ns)
        return some, following

    def _run_together(self, some: list[_Unit[Any]]) -> None:
        """Run units that wait for the same work at once; each by itself if that raises."""
        together = some[0].together
        self._driver.execute("SAVEPOINT together")
        try:
            results = together(self._connection, [unit.item for unit in some])  # type: ignore[misc] # it has one
            for unit, result in zip(some, results, strict=True):
                unit.result = result
        except Exception:
            if not is_in_transaction(self._driver):
                raise  # As in a savepoint of its own.
            self._driver.execute("ROLLBACK TO together")
            self._undone()
            for unit in some:
                self._run_in_savepoint(unit)
        self._driver.execute("RELEASE together")

    def _run_in_savepoint(self, unit: _Unit[Any]) -> None:
        """Run one unit; what it raises is kept for its caller, and what it wrote is undone."""
        self._driver.execute("SAVEPOINT unit")
        try:
            unit.result = unit.work(self._connection)
        except Exception as error:
            unit.error = self._why(error) if is_of_the_disk(error) else error
            if not is_in_transaction(self._driver):
                raise  # A full disk or a lost connection has undone the whole transaction, all units of it.
            self._driver.execute("ROLLBACK TO unit")
            self._undone()
        self._driver.execute("RELEASE unit")

    def _lose(self, units: list[_Unit[Any]], error: Exception) -> None:
        """Undo a transaction that failed, also in its commit, and turn all its units into errors."""
        if is_lost(self._driver):
            self._connection.invalidate()
            self._is_lost, self._reconnect_at_ns = True, 0
        else:
            with contextlib.suppress(Exception):
                self._driver.rollback()
        for unit in units:
            if unit.error is None:
                unit.error = self._why(error)
                unit.error.__cause__ = error
        self._undone()

    def _reconnect(self, first: _Unit[Any]) -> bool:
        """Make the connection anew, unless that was tried just now; tell `first` why it cannot be."""
        if time.monotonic_ns() >= self._reconnect_at_ns:
            try:
                self._driver = driver_of(self._connection)
            except Exception as error:  # noqa: BLE001 - libpq, the network and the server's start have many
                self._reconnect_at_ns = time.monotonic_ns() + RECONNECT_NS
                first.error = self._why(error)
            else:
                self._is_lost = False
                self._take_writes_again()
        return not self._is_lost

    def _refuse_all(self, first: _Unit[Any]) -> _Signal:
        """Refuse `first` and all that wait now: none should wait for the next attempt."""
        units, following = [first], self._next(time.monotonic_ns())
        while not isinstance(following, _Signal):
            units.append(following)
            following = self._next(time.monotonic_ns())
        for unit in units:
            unit.error = unit.error or _busy("the server does not reach its database; ask again in a second")
        _hand_out(units)
        return following

    def _why(self, error: Exception) -> Exception:
        """Say why something was not written: for the disk, which can be mended while we run, or for us."""
        if isinstance(error, SealcastError):
            return error
        reason = first_line(getattr(error, "orig", error))
        if not is_of_the_disk(error):
            return LocalError(f"the database did not take it: {reason}")
        if not self._is_failing:
            self._is_failing = True
            _log.error("the database takes no writes: %s; once that is mended, it goes on by itself", reason)
        if is_lost(self._driver):
            return _busy("the server does not reach its database; ask again in a second")
        return _busy(f"the server cannot write its database ({reason}); ask again when there is room")

    def _take_writes_again(self) -> None:
        if self._is_failing:
            self._is_failing = False
            _log.warning("the database takes writes again")

    def _undone(self) -> None:
        if self._on_undone is not None:
            self._on_undone()


def _busy(detail: str) -> RefusedError:
    return RefusedError("busy", detail, 503, retry_after_s=RETRY_AFTER_S)


def _hand_out(units: list[_Unit[Any]]) -> None:
    """Give the results to their callers, waking each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Unit[Any]]] = {}
    for unit in units:
        if unit.loop is None:
            unit.resolve()
        else:
            by_loop.setdefault(unit.loop, []).append(unit)
    for loop, waiting in by_loop.items():
        # A loop that is closed has nobody left who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve_all, waiting)


def _resolve_all(units: list[_Unit[Any]]) -> None:
    for unit in units:
        try:
            unit.resolve()
        except Exception:  # noqa: BLE001 - what one caller does with its answer is nothing to the others
            _log.exception("the answer to a unit of work was not taken")
