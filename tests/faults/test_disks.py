"""A full disk: what cannot be recorded is not done, everybody is told, and with room all goes on."""

import signal
import time
from pathlib import Path

import pytest

from faults.asking import Askers
from faults.books import check_books
from faults.mounts import small_disk
from faults.nursery import Forks
from faults.site import Site, holds, new_site

pytestmark = pytest.mark.mounts

LIFETIME = ("--lifetime", "1500ms")
FULL_S = 2.0
"""More than a lifetime of a key."""


def test_disk_full_under_the_key_server(tmp_path: Path, forks: Forks) -> None:
    """Requests are refused as busy, the stream goes on under its key; with room all is well by itself."""
    with small_disk(tmp_path / "keyserver", "12m") as disk, new_site(tmp_path, forks) as site:
        site.add_channel("film", *LIFETIME)
        site.add_channel("lab", *LIFETIME)
        site.add_viewer("viewer", "film", "lab")
        receiver, sender = site.play("film", "viewer")
        assert site.keyserver is not None
        with Askers(site, ["viewer"], ["film"], "lab", seed=1) as askers:
            time.sleep(1)
            disk.fill()
            sender.wait_for("epoch extended")
            refusal = site.nursery.start("subscriber", "remove", "film", "viewer")
            assert refusal.end() == 4
            assert "cannot write its database (database or disk is full)" in refusal.err
            time.sleep(FULL_S)
            answers = askers.memory.answers
            assert askers.memory.refusals
            disk.free()
            sender.wait_for("no longer extended")
            for _ in range(2):
                sender.wait_for("on air")
            assert askers.memory.answers > answers
        sent, got = sender.stop(), receiver.summary()
        assert all("busy" in refusal for refusal in askers.memory.refusals)
        assert got["packets_opened"] == sent["packets"]
        assert (got["lost"], got["refused"], got["replayed"]) == (0, 0, 0)
        assert holds(site.folder / "viewer-film.bin", got, site.film)
        assert site.keyserver.is_alive()
        levels = [entry["level"] for entry in site.keyserver.log]
        assert levels == ["error", "warning"], site.keyserver.err
        check_books(site, askers.memory, "lab")


@pytest.mark.soak
def test_a_key_server_starts_on_a_full_disk(tmp_path: Path, forks: Forks) -> None:
    """After a kill it refuses what it cannot record; where it cannot open its database it says why."""
    with small_disk(tmp_path / "keyserver", "12m") as disk, new_site(tmp_path, forks) as site:
        site.add_channel("film", *LIFETIME)
        assert site.keyserver is not None
        disk.fill()
        site.keyserver.kill()
        site.serve()
        refusal = site.nursery.start("channel", "remove", "film")
        assert refusal.end() == 4
        assert "database or disk is full" in refusal.err
        disk.free()
        site.nursery.good("channel", "remove", "film")
        site.keyserver.send(signal.SIGTERM)
        assert site.keyserver.end() == 0
        disk.fill()
        refused = site.serve(wait=False)
        assert refused.end() == 2
        assert "is its disk full or read-only?" in refused.err
        disk.free()
        site.serve()


def test_disk_full_under_the_run_slots(tmp_path: Path, site: Site) -> None:
    """No start and no change of keys without a slot on the disk: one line, or the epoch is extended."""
    site.add_channel("film", *LIFETIME)
    site.add_viewer("viewer", "film")
    receiver = site.receive("film", "viewer", "--wait")
    with small_disk(tmp_path / "slots", "256k") as disk:
        state = {"SEALCAST_SENDER_STATE": str(disk.folder)}
        sender = site.send("film", **state)
        sender.wait_for("on air")
        disk.fill()
        sender.wait_for("epoch extended")
        assert any("No space left on device" in str(entry.get("reason")) for entry in sender.log)
        time.sleep(FULL_S)
        sender.skip_log()
        disk.free()
        sender.wait_for("no longer extended")
        sender.wait_for("on air")
        sent, got = sender.stop(), receiver.summary()
        disk.fill()
        refused = site.send("film", **state)
        assert refused.end() == 2
        assert f"cannot write {disk.folder}" in refused.err
        assert "No space left on device" in refused.err
        assert not any(entry["event"] == "on air" for entry in refused.log)
    assert got["packets_opened"] == sent["packets"]
    assert (got["lost"], got["refused"]) == (0, 0)
