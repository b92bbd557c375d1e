"""Shows which commits make a master look for changes that are to be published, and that journals do not."""

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from sealcast.server.cluster.quiet import QuietUnits
from sealcast.storage.unitofwork import Batch, UnitOfWork
from storage.places import upgraded_engine

RECORDED = {"grants", "erasures", "evidence", "receptions", "cluster_journals", "cluster_aside"}
"""Where a journal's rows come to stand."""

FOLLOWED = sa.text("SELECT DISTINCT tbl_name FROM sqlite_master WHERE name LIKE '%followed%'")


def test_a_transaction_is_quiet_if_all_of_it_is(tmp_path: Path) -> None:
    """Whoever shares a transaction with a journal is heard; a quiet unit that was undone changes nothing."""
    quiet = QuietUnits()
    found: list[bool] = []
    unit_of_work = UnitOfWork(
        upgraded_engine(tmp_path / "quiet.sqlite"),
        on_batch=lambda batch: found.append(quiet.is_all(batch)),
        on_begin=lambda _: quiet.begin(),
    )

    def journal(_: sa.Connection) -> None:
        quiet.unit()

    def refused(connection: sa.Connection) -> None:
        journal(connection)
        raise ValueError("no")

    async def story() -> None:
        await unit_of_work.run(journal)
        await unit_of_work.run(lambda _: None)
        with pytest.raises(ValueError, match="no"):
            await unit_of_work.run(refused)

    try:
        asyncio.run(story())
    finally:
        unit_of_work.close()
    assert found == [True, False, True]
    quiet.begin()
    quiet.unit()
    assert not quiet.is_all(Batch(2, 0))


def test_what_a_journal_writes_is_published_nowhere(tmp_path: Path) -> None:
    """No table into which a journal's rows go is one of whose changes replicas hear."""
    engine = upgraded_engine(tmp_path / "tables.sqlite")
    try:
        with engine.connect() as connection:
            followed = set(connection.execute(FOLLOWED).scalars())
    finally:
        engine.dispose()
    assert {"principals", "subscriptions", "channels", "epochs"} <= followed
    assert not followed & RECORDED
