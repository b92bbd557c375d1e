"""Shows the record of offences: who is in good standing; a pardon lets off what was, not what comes."""

from pathlib import Path

import pytest

from sealcast.subscribers import store_offences
from sealcast.subscribers.store_offences import OFFENCES_LISTED_MAX, Offence
from storage.database import database

pytestmark = pytest.mark.usefixtures("both_databases")


def test_standing(tmp_path: Path) -> None:
    """One offence is enough, a pardon takes all of a device away, and the next one counts anew."""
    with database(tmp_path) as unit_of_work:
        do = unit_of_work.run_blocking

        def offend(device: str, at_ms: int) -> None:
            do(lambda c: store_offences.add_offence(c, Offence(device, "stale", "why", bytes(32), at_ms)))

        def is_good(device: str) -> bool:
            return do(lambda c: store_offences.in_good_standing(c, device))

        assert is_good("one")
        for at_ms in (1, 2):
            offend("one", at_ms)
        assert (is_good("one"), is_good("two")) == (False, True)
        assert do(lambda c: store_offences.pardon(c, "two", 5)) == 0
        assert do(lambda c: store_offences.pardon(c, "one", 5)) == 2
        assert is_good("one")
        offend("one", 6)
        assert not is_good("one")
        found = do(store_offences.all_offences)
        assert [(each.at_ms, each.pardoned_at_ms) for each in found] == [(6, None), (2, 5), (1, 5)]


def test_the_newest_are_listed(tmp_path: Path) -> None:
    """However many there are, a list has the newest that fit into an answer."""
    with database(tmp_path) as unit_of_work:
        count = OFFENCES_LISTED_MAX + 3
        for at_ms in range(count):
            offence = Offence("one", "bad", "", bytes(32), at_ms)
            unit_of_work.run_blocking(lambda c, each=offence: store_offences.add_offence(c, each))
        found = unit_of_work.run_blocking(store_offences.all_offences)
        assert [each.at_ms for each in found] == list(range(count - 1, 2, -1))
