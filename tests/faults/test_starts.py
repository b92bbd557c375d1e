"""Senders that start again, twice at once, or without a key server until nothing is left."""

import time

from faults.capture import Capture, Nonces
from faults.nursery import Child
from faults.site import Site, grows
from sealcast.keys.lease import RUN_SLOTS
from sealcast.sender.slots import SlotStore

SHORT_RUN = ("--seconds", "0.2")
STARTS = 2
"""Starts without key server that are tried; each takes 4 s, since it waits for one."""


def complaint(child: Child) -> str:
    """Return the one line with which a program ended."""
    lines = [entry["event"] for entry in child.log if str(entry["event"]).startswith("sealcast: ")]
    assert len(lines) == 1, child.err
    return str(lines[0])


def check_nonces(site: Site, capture: Capture) -> None:
    """Check what was seen against the keys that are there."""
    nonces = Nonces()
    nonces.check(capture, site.teks())
    print(f"{nonces.opened} opened, {nonces.without_key} without key")
    assert nonces.opened > 0


def test_a_second_start_from_the_same_state_folder(site: Site) -> None:
    """It ends at once with status 2 and one line; the first goes on."""
    site.add_channel("film", "--lifetime", "1500ms")
    first = site.send("film")
    first.wait_for("on air")
    second = site.send("film")
    assert second.end() == 2
    assert "another process is sending this channel" in complaint(second)
    first.wait_for("on air")
    assert first.stop()["key_changes"] > 0


def test_a_start_from_another_state_folder_overtakes(site: Site) -> None:
    """One credential on two machines: the later run sends, the earlier one ends with one line and no BYE."""
    channel = site.add_channel("film", "--lifetime", "1500ms")
    site.add_viewer("one", "film")
    receiver = site.receive("film", "one", "--wait")
    with Capture(channel) as capture:
        first = site.send("film")
        first.wait_for("on air")
        first.wait_for("on air")
        second = site.send("film", SEALCAST_SENDER_STATE=str(site.folder / "elsewhere"))
        second.wait_for("on air")
        assert first.end() == 4
        assert "another run sends channel film" in complaint(first)
        for _ in range(2):
            second.wait_for("on air")
        sent, got = second.stop(), receiver.summary()
    assert got["ended_by"] == "bye"
    assert got["packets_opened"] > sent["packets"]
    assert (got["refused"], got["replayed"]) == (0, 0)
    # Which run a packet is of is not known here; the nonces alone tell.
    check_nonces(site, capture)


def test_two_state_folders_in_turns_share_no_slot(site: Site) -> None:
    """Killed here, started there, back again, with keys known to both: no run slot is used twice."""
    channel = site.add_channel("film", "--lifetime", "1s", "--keys", "keyserver")
    with Capture(channel) as capture:
        for turn in range(4):
            folder = site.folder / f"machine-{turn % 2}"
            sender = site.send("film", SEALCAST_SENDER_STATE=str(folder))
            for _ in range(1 + turn % 3):
                sender.wait_for("on air")
            time.sleep(0.3)
            sender.kill()
            capture.next_run()
    check_nonces(site, capture)


def test_a_killed_sender_goes_on_under_the_key_that_receivers_hold(site: Site) -> None:
    """Killed after the prefetch and started without any key server, it is opened from its first packet on."""
    channel = site.add_channel("film", "--lifetime", "4s", "--publish-at", "75%", "--prefetch-at", "60%")
    site.add_viewer("one", "film")
    with Capture(channel) as capture:
        receiver, sender = site.play("film", "one")
        granted = receiver.wait_for("granted")["keys"][-1]
        sender.kill()
        assert site.keyserver is not None
        site.keyserver.kill()
        capture.next_run()
        again = site.send("film")
        assert again.wait_for("on air")["epoch"] == int(granted[8:], 16)
        grows(site.folder / "one-film.bin")
        again.stop()
        got = receiver.summary()
        capture.next_run()
    assert got["packets_opened"] == len(capture.data)
    assert (got["refused"], got["dropped"]) == (0, 0)
    assert got["key_changes"] > 0
    check_nonces(site, capture)


def test_starts_without_key_server_until_no_slot_is_left(site: Site) -> None:
    """Each start uses one slot of the last lease; after the last one it says so, with status 3."""
    channel = site.add_channel("film", "--lifetime", "1m")
    with Capture(channel) as capture:
        assert site.send("film", *SHORT_RUN).end() == 0
        assert site.keyserver is not None
        site.keyserver.kill()
        use_slots(site, RUN_SLOTS - 1 - STARTS)
        for _ in range(STARTS):
            capture.next_run()
            assert site.send("film", *SHORT_RUN).end() == 0
        sender = site.send("film", *SHORT_RUN)
        assert sender.end() == 3
        assert "no run slot is left" in complaint(sender)
    assert capture.data[-1].run == STARTS
    check_nonces(site, capture)


def use_slots(site: Site, count: int) -> None:
    """Use up run slots of the film's sender, as so many starts would."""
    store = SlotStore(site.folder / "sending", site.credential("film-studio"), "film")
    store.open()
    store.consume(store.lease.slots[count - 1].epoch)
    store.close()
