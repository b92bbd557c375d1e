"""Shows what a unit of work may rely on: durable before the result, alone in failing, bounded."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from sealcast.core.errors import LocalError, RefusedError
from sealcast.storage import audit
from sealcast.storage.audit import AuditRow
from sealcast.storage.driving import driver_of
from sealcast.storage.unitofwork import QUEUE_MAX, Batch, UnitOfWork
from storage.database import database
from storage.places import is_on_postgres, rows

pytestmark = pytest.mark.usefixtures("both_databases")


PATIENCE_S = 20.0
"""For what takes milliseconds."""

BROKEN_AT_COMMIT = {
    "sqlite": (
        "PRAGMA defer_foreign_keys = ON",
        "INSERT INTO channel_senders (channel, sender) VALUES (99, 'nobody')",
    ),
    "postgresql": (
        "CREATE TABLE once (number BIGINT UNIQUE DEFERRABLE INITIALLY DEFERRED)",
        "INSERT INTO once VALUES (1), (1)",
    ),
}
"""What the database finds out only when it commits."""


def adding(what: str) -> Callable[[sa.Connection], str]:
    """Return a unit that adds one audit row and returns its name."""

    def work(connection: sa.Connection) -> str:
        audit.append(connection, AuditRow(1, "me", what, "test"))
        return what

    return work


def give_room(connection: sa.Connection, *, is_there: bool) -> None:
    """Let the database grow no more, or again; on PostgreSQL by allowing no writes."""
    if is_on_postgres():
        connection.exec_driver_sql(f"SET default_transaction_read_only = {'off' if is_there else 'on'}")
    else:
        pages = 10_000 if is_there else connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")


def rows_on_disk(folder: Path) -> list[str]:
    """Return what another program sees in the file."""
    return [str(what) for (what,) in rows(folder / "test.sqlite", "SELECT what FROM audit ORDER BY id")]


def test_result_comes_after_the_commit(tmp_path: Path) -> None:
    """When a result is out, another connection sees what was written."""

    async def story() -> None:
        with database(tmp_path) as unit_of_work:
            for what in ("one", "two", "three"):
                assert await unit_of_work.run(adding(what)) == what
                assert rows_on_disk(tmp_path)[-1] == what

    asyncio.run(story())


def test_many_units_share_commits(tmp_path: Path) -> None:
    """Units that wait together are written by few transactions, each result its own."""
    batches: list[Batch] = []

    async def story() -> None:
        with database(tmp_path, on_batch=batches.append) as unit_of_work:
            names = [f"unit {i}" for i in range(300)]
            assert await asyncio.gather(*(unit_of_work.run(adding(name)) for name in names)) == names
            assert sorted(rows_on_disk(tmp_path)) == sorted(names)

    asyncio.run(story())
    assert sum(batch.units for batch in batches) == 300
    assert len(batches) < 300


def test_unit_that_raises_is_undone_alone(tmp_path: Path) -> None:
    """An error goes to its caller and undoes that unit only; memory of it is told to be forgotten."""
    undone: list[str] = []

    def failing(connection: sa.Connection) -> None:
        adding("never")(connection)
        raise RefusedError("exists", "no", 409)

    async def story() -> list[object]:
        with database(tmp_path, on_undone=lambda: undone.append("undone")) as unit_of_work:
            return list(
                await asyncio.gather(
                    unit_of_work.run(adding("before")),
                    unit_of_work.run(failing),
                    unit_of_work.run(adding("after")),
                    return_exceptions=True,
                )
            )

    before, failed, after = asyncio.run(story())
    assert (before, after) == ("before", "after")
    assert isinstance(failed, RefusedError)
    assert rows_on_disk(tmp_path) == ["before", "after"]
    assert undone == ["undone"]


def test_items_of_the_same_work_go_together(tmp_path: Path) -> None:
    """Those that wait are carried out at once; where one raises, each by itself, and the rest stand once."""
    calls: list[list[str]] = []

    def together(connection: sa.Connection, items: Sequence[str]) -> list[str]:
        calls.append([*items])
        for item in items:
            adding(item)(connection)
        if "bad" in items:
            raise ValueError
        return [item.upper() for item in items]

    async def story() -> list[str | BaseException]:
        gate = threading.Event()
        with database(tmp_path) as unit_of_work:
            held = asyncio.ensure_future(unit_of_work.run(lambda _: str(gate.wait(20))))
            first = [unit_of_work.run_together(together, item) for item in ("a", "b")]
            second = [unit_of_work.run_together(together, item) for item in ("c", "bad", "d")]
            waiting = asyncio.gather(*first, unit_of_work.run(adding("e")), *second, return_exceptions=True)
            await asyncio.sleep(0)
            gate.set()
            await held
            return await waiting

    results = asyncio.run(story())
    assert results[:3] + results[3::2] == ["A", "B", "e", "C", "D"]
    assert isinstance(results[4], ValueError)
    assert calls == [["a", "b"], ["c", "bad", "d"], ["c"], ["bad"], ["d"]]
    assert sorted(rows_on_disk(tmp_path)) == ["a", "b", "c", "d", "e"]


def test_failed_commit_reaches_every_caller(tmp_path: Path) -> None:
    """When the database does not take a commit, no unit of it gets a result, and the next one works."""
    undone: list[str] = []

    def breaking(connection: sa.Connection) -> str:
        for statement in BROKEN_AT_COMMIT["postgresql" if is_on_postgres() else "sqlite"]:
            connection.exec_driver_sql(statement)
        return "not durable"

    with database(tmp_path, on_undone=lambda: undone.append("undone")) as unit_of_work:
        with pytest.raises(LocalError, match="did not take it"):
            unit_of_work.run_blocking(breaking)
        assert undone
        assert unit_of_work.run_blocking(adding("next")) == "next"
    assert rows_on_disk(tmp_path) == ["next"]


def test_nothing_ends_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails before a transaction is told to who waits, what fails after it to nobody; it goes on."""

    def fail(*_: object) -> None:
        raise OSError("the test has it so")

    async def story() -> None:
        async with asyncio.timeout(PATIENCE_S):
            with database(tmp_path, on_batch=fail) as unit_of_work:
                assert await unit_of_work.run(adding("one")) == "one"
                with monkeypatch.context() as broken:
                    broken.setattr(UnitOfWork, "_linger", fail)
                    with pytest.raises(LocalError, match="has it so"):
                        await unit_of_work.run(adding("two"))
                assert await unit_of_work.run(adding("three")) == "three"

    asyncio.run(story())
    assert rows_on_disk(tmp_path) == ["one", "three"]


def test_what_is_taken_when_a_transaction_ends_is_told(tmp_path: Path) -> None:
    """Where work that goes together ends the whole transaction, the unit behind it is refused as well."""

    def ending(connection: sa.Connection, items: Sequence[str]) -> list[str]:
        driver_of(connection).execute("ROLLBACK")
        raise OSError(f"the disk of {len(items)} is full")

    async def story() -> list[str | BaseException]:
        gate = threading.Event()
        with database(tmp_path) as unit_of_work:
            held = asyncio.ensure_future(unit_of_work.run(lambda _: str(gate.wait(20))))
            some = [unit_of_work.run_together(ending, item) for item in ("a", "b")]
            waiting = asyncio.gather(*some, unit_of_work.run(adding("c")), return_exceptions=True)
            await asyncio.sleep(0)
            gate.set()
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.wait({held})
                results = await waiting
                assert await unit_of_work.run(adding("d")) == "d"
                return results

    assert [type(result) for result in asyncio.run(story())] == [LocalError] * 3
    assert rows_on_disk(tmp_path) == ["d"]


def test_who_cannot_take_an_answer_is_alone(tmp_path: Path) -> None:
    """An outcome that raises, which it must not, keeps nobody else of its transaction from its own."""

    class Broken:
        def done(self) -> bool:
            return False

        def set_result(self, _: str, /) -> None:
            raise ValueError

        set_exception = set_result

    def together(_: sa.Connection, items: Sequence[str]) -> list[str]:
        return [*items]

    async def story() -> str:
        with database(tmp_path) as unit_of_work:
            gate = threading.Event()
            held = asyncio.ensure_future(unit_of_work.run(lambda _: str(gate.wait(20))))
            await asyncio.sleep(0)
            unit_of_work.begin_together(together, "one", Broken())  # type: ignore[arg-type]
            other = asyncio.ensure_future(unit_of_work.run_together(together, "two"))
            await asyncio.sleep(0)
            gate.set()
            async with asyncio.timeout(PATIENCE_S):
                await held
                return await other

    assert asyncio.run(story()) == "two"


def test_full_queue_refuses_at_once(tmp_path: Path) -> None:
    """With too many units waiting, a caller is told `busy` and when to come again; the others are served."""
    gate = threading.Event()

    def waiting(connection: sa.Connection) -> None:
        gate.wait(20)
        adding("first")(connection)

    async def story() -> None:
        with database(tmp_path) as unit_of_work:
            first = asyncio.create_task(unit_of_work.run(waiting))
            await asyncio.sleep(0.05)
            rest = [asyncio.create_task(unit_of_work.run(lambda _: None)) for _ in range(QUEUE_MAX)]
            await asyncio.sleep(0)
            try:
                with pytest.raises(RefusedError) as refused:
                    await unit_of_work.run(adding("too many"))
                assert (refused.value.type, refused.value.status) == ("busy", 503)
                assert refused.value.retry_after_s
            finally:
                gate.set()
            await asyncio.gather(first, *rest)

    asyncio.run(story())
    assert rows_on_disk(tmp_path) == ["first"]


def test_a_full_disk_is_a_refusal_until_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who writes to a full disk is told to ask again; nothing of it is kept, and with room all is well."""
    with database(tmp_path) as unit_of_work:
        unit_of_work.run_blocking(partial(give_room, is_there=False))
        for _ in range(2):
            with pytest.raises(RefusedError, match=r"disk is full|read-only") as refused:
                unit_of_work.run_blocking(adding("x" * 100_000))
            assert (refused.value.type, refused.value.status) == ("busy", 503)
            assert not unit_of_work.takes_writes
        unit_of_work.run_blocking(partial(give_room, is_there=True))
        assert not unit_of_work.takes_writes, "nothing was written yet"
        unit_of_work.run_blocking(adding("room"))
        assert unit_of_work.takes_writes
    assert rows_on_disk(tmp_path) == ["room"]
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_close_finishes_what_waits(tmp_path: Path) -> None:
    """Closing writes what was accepted; afterwards nothing is taken, and closing again does no harm."""

    async def story() -> None:
        with database(tmp_path) as unit_of_work:
            tasks = [asyncio.create_task(unit_of_work.run(adding(f"{i}"))) for i in range(50)]
            await asyncio.sleep(0)
            await asyncio.to_thread(unit_of_work.close)
            await asyncio.gather(*tasks)
            unit_of_work.close()
            with pytest.raises(LocalError, match="closed"):
                await unit_of_work.run(adding("late"))

    asyncio.run(story())
    assert len(rows_on_disk(tmp_path)) == 50


def test_caller_that_goes_away_does_no_harm(tmp_path: Path) -> None:
    """A cancelled caller's unit is carried out all the same, and others get their results."""

    async def story() -> None:
        with database(tmp_path) as unit_of_work:
            gone = asyncio.create_task(unit_of_work.run(adding("gone")))
            await asyncio.sleep(0)
            gone.cancel()
            assert await unit_of_work.run(adding("here")) == "here"

    asyncio.run(story())
    assert rows_on_disk(tmp_path) == ["gone", "here"]
