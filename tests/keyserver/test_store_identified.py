"""Shows the list of identified devices: what was said last of each, in pages by id, on either database."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from sealcast.core.secret import Secret
from sealcast.keyserver import store_identified, store_principals
from sealcast.keyserver.store_identified import Identified
from sealcast.keyserver.store_principals import CERTIFICATE, RegistryEntry
from sealcast.messages.jwk import new_sealing_pair, new_signing_pair
from sealcast.messages.requests import RegisteredKeys
from sealcast.testing import SimRandom
from storage.database import database

pytestmark = pytest.mark.usefixtures("both_databases")

RANDOM = SimRandom(7)
KEYS = RegisteredKeys(signing=new_signing_pair(RANDOM).public(), kek=new_sealing_pair(RANDOM).public())
NAMES = ("tv-1", "TV-2", "tv-10")


def test_the_last_word_counts(tmp_path: Path) -> None:
    """Told again, the later evidence stands; taken back once, it is gone; pages are in one order."""

    def story(connection: sa.Connection) -> None:
        for name in NAMES:
            entry = RegistryEntry(name, "device", CERTIFICATE, 1)
            store_principals.add(connection, entry, KEYS, Secret(bytes(32)))
            store_identified.put(connection, Identified(name, "a card", "operator", 1))
        later = Identified("tv-1", "a contract", "another", 2)
        store_identified.put(connection, later)
        assert store_identified.find(connection, "tv-1") == later
        first = store_identified.page(connection, "", 2)
        rest = store_identified.page(connection, first[-1].device, 2)
        assert [each.device for each in first + rest] == sorted(NAMES)
        assert store_identified.remove(connection, "tv-1")
        assert not store_identified.remove(connection, "tv-1")
        assert store_identified.find(connection, "tv-1") is None

    with database(tmp_path) as unit_of_work:
        unit_of_work.run_blocking(story)
