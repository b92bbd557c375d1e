"""Shows a replica: what it grants by what it was told, how old that may be, what it tells of its grants."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from sealcast.messages import operations
from sealcast.messages.cluster import EntryBody, GrantedRow, ReceptionRow
from sealcast.messages.operations_cluster import CLUSTER_STATUS
from server.replicas import Device, Site, channel, epoch


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Make a replica that was told of nothing."""
    site = Site(tmp_path)
    yield site
    site.close()


def on_air(site: Site, *, names: tuple[str, ...] = ("tv",)) -> list[Device]:
    """Have a channel on air under epoch 4, with 5 published, and devices on its list."""
    devices = [site.device(name) for name in names]
    site.tell(
        ("party", site.studio()),
        *(("party", device.entry(1)) for device in devices),
        (
            "channel",
            channel(
                1, [epoch(1, 4, "ACTIVE"), epoch(1, 5, "PUBLISHED"), epoch(1, 6, "PLANNED", has_key=False)]
            ),
        ),
        site.air(1, 4),
    )
    return devices


def keys_of(site: Site, device: Device, **more: object) -> list[int]:
    """Ask for keys; return the epochs that came."""
    grant = site.run(site.guest(device).must(operations.KEYS, channel="news", **more))
    return [int(key.material.key_id[8:], 16) for key in grant.keys]


def refused(site: Site, device: Device) -> str:
    """Ask for keys; return the name of the refusal."""
    reply = site.run(site.guest(device).ask(operations.KEYS, channel="news"))
    assert reply.status != 200
    return reply.problem


def test_a_grant_by_what_it_was_told(site: Site) -> None:
    """A listed device has the current and the next key, with all that the master's own grant has."""
    (device,) = on_air(site)
    grant = site.run(site.guest(device).must(operations.KEYS, channel="news"))
    assert [(key.material.key_id[8:], key.state) for key in grant.keys] == [
        ("00000004", "current"),
        ("00000005", "next"),
    ]
    assert grant.keys[0].material.key == bytes([5]) * 16
    assert (grant.keys[0].remaining_ms, grant.streams[0].seq) == (600_000, 7)
    assert [sender.id for sender in grant.senders] == ["studio"]
    assert site.read("SELECT device, epoch FROM grants ORDER BY epoch") == [("tv", 4), ("tv", 5)]


def test_nothing_before_the_first_beat(site: Site) -> None:
    """A replica that was never told of anything grants nothing, and it is no decision that stays."""
    device = site.device("tv")
    site.tell(
        ("party", site.studio()),
        ("party", device.entry(1)),
        ("channel", channel(1, [epoch(1, 4, "ACTIVE")])),
        beat=False,
    )
    guest = site.guest(device)
    reply = site.run(guest.ask(operations.KEYS, channel="news", jti="the-same"))
    assert (reply.status, reply.problem) == (503, "busy")
    site.tell()
    assert site.run(guest.ask(operations.KEYS, channel="news", jti="the-same")).status == 200


def test_the_next_key_while_what_is_known_is_young(site: Site) -> None:
    """Without beats for longer than the limit the key on air alone is given; a beat makes it whole again."""
    (device,) = on_air(site)
    site.let_pass(30)
    assert keys_of(site, device) == [4, 5]
    site.let_pass(1)
    assert keys_of(site, device) == [4]
    site.tell()
    assert keys_of(site, device) == [4, 5]


def test_a_removed_device_gets_no_key_from_its_fence_on(site: Site) -> None:
    """Cut off before a removal, a replica gives that device no more than was published before it."""
    (device,) = on_air(site)
    assert keys_of(site, device) == [4, 5]
    site.bus.cut("replica-1")
    # The master removes the device: its fence lies beyond all that was published, and 6 comes after that.
    site.tell(
        ("party", device.entry()),
        ("channel", channel(1, [epoch(1, 4, "ACTIVE"), epoch(1, 6, "PUBLISHED")], floor=6)),
    )
    for _ in range(12):
        site.let_pass(5)
        assert set(keys_of(site, device)) <= {4, 5}
    assert keys_of(site, device) == [4]
    site.bus.heal("replica-1")
    site.run(site.settled())
    assert refused(site, device) == "not-subscribed"


def test_whoever_has_the_key_has_the_removal(site: Site) -> None:
    """Cut off in the middle of a round: whoever knows of the key knows of the removal before it."""
    (device,) = on_air(site)
    removal = site.of_master.entry("party", device.entry(), site.now_ms())
    key = site.of_master.entry(
        "channel", channel(1, [epoch(1, 4, "ACTIVE"), epoch(1, 6, "PUBLISHED")], floor=6), site.now_ms()
    )
    site.publish([removal])
    assert refused(site, device) == "not-subscribed"
    site.publish([key])
    assert refused(site, device) == "not-subscribed"


def test_keys_that_are_not_told_any_more_are_erased(site: Site) -> None:
    """A key that an entry does not carry is gone from the database, whatever its epoch is now."""
    on_air(site)
    assert site.read("SELECT epoch FROM epochs WHERE wrapped_key IS NOT NULL ORDER BY epoch") == [(4,), (5,)]
    site.tell(("channel", channel(1, [epoch(1, 4, "DRAINING", has_key=False), epoch(1, 5, "ACTIVE")])))
    assert site.read("SELECT epoch FROM epochs WHERE wrapped_key IS NOT NULL") == [(5,)]
    site.tell(("channel", channel(1, [epoch(1, 5, "ACTIVE")])))
    assert site.read("SELECT epoch, state FROM epochs ORDER BY epoch") == [
        (4, "RETIRED"),
        (5, "ACTIVE"),
        (6, "RETIRED"),
    ]


def test_secrets_are_wrapped_under_the_replicas_own_key(site: Site) -> None:
    """Neither a device's keys nor a stream's stand in the replica's files as they are."""
    (device,) = on_air(site)
    files = b"".join(path.read_bytes() for path in site.directory.rglob("*") if path.is_file())
    for secret in (device.keys.signing.k, device.keys.kek.k):
        assert secret is not None
        assert secret.encode() not in files
    assert bytes([5]) * 16 not in files


def test_every_grant_is_told_of_once_and_in_order(site: Site) -> None:
    """Each request that brought keys is a row of the journal; a grant and its row stand or fall together."""
    devices = on_air(site, names=("tv-1", "tv-2"))
    for device in (*devices, devices[0]):
        keys_of(site, device)
    site.flush()
    rows = [row for row in site.journal() if isinstance(row, GrantedRow)]
    assert [(row.device, row.channel, row.epochs) for row in rows] == [
        ("tv-1", 1, [4, 5]),
        ("tv-2", 1, [4, 5]),
        ("tv-1", 1, [4, 5]),
    ]
    assert {row.at_ms for row in rows} == {site.now_ms()}
    assert {row.token for row in rows} == {""}
    assert site.read("SELECT count(*) FROM cluster_outbox") == [(0,)]


def test_a_restart_goes_on_with_what_it_knew(site: Site) -> None:
    """Started again without the bus it gives the key on air; with a beat, the next one too."""
    (device,) = on_air(site)
    site.bus.hold("replica-1")
    site.restart()
    assert keys_of(site, device) == [4]
    site.bus.release("replica-1")
    site.run(site.settled())
    assert keys_of(site, device) == [4], "the old beat makes nothing young"
    site.tell()
    assert keys_of(site, device) == [4, 5]


def test_an_entry_from_somebody_else_changes_nothing(site: Site) -> None:
    """What the publisher did not sign, what stands in another's place and what does not fit is counted."""
    (device,) = on_air(site)
    place, data = site.of_master.entry("party", device.entry(), site.now_ms())
    other, _ = site.of_master.entry("party", site.device("x").entry(), site.now_ms())
    bad = channel(1, [epoch(1, 4, "ACTIVE"), epoch(2, 5, "PUBLISHED")])
    site.publish([(place, data[:-10] + b"AAAAAAAAAA"), (other, data)])
    site.publish([site.of_master.entry("channel", bad, site.now_ms())])
    site.publish([site.of_master.entry("channel", channel(1, [epoch(1, 4, "FROZEN")]), site.now_ms())])
    assert site.replica.applier.rejected == 4
    assert keys_of(site, device) == [4, 5]


def test_a_party_that_is_not_understood(site: Site) -> None:
    """What was said of a party and does not fit may be its removal: no next key until something fits."""
    (device,) = on_air(site)
    strange = {**msgspec.to_builtins(device.entry()), "subscriptions": "none"}
    body = EntryBody(
        kind="party",
        name="tv",
        version=site.of_master.version + 1,
        term=1,
        at_ms=site.now_ms(),
        body=msgspec.Raw(msgspec.json.encode(strange)),
    )
    site.of_master.version += 1
    site.publish([(site.of_master.sealer.place("party", "tv"), site.of_master.sealer.seal(body))])
    site.tell()
    assert keys_of(site, device) == [4]
    site.tell(("party", device.entry(1)))
    assert keys_of(site, device) == [4, 5]


def test_receptions_are_told_of(site: Site) -> None:
    """A reception that begins by a key request and ends by a stop reaches the journal as it is."""
    (device,) = on_air(site)
    keys_of(site, device)
    journal = site.replica.reception_journal
    assert journal is not None
    site.run(journal.collect())
    guest = site.guest(device)
    site.let_pass(3)
    site.run(guest.must(operations.HEARTBEAT, channel="news", packets=5))
    site.run(guest.must(operations.STOP, channel="news", packets=9, last_index=77))
    site.run(journal.collect())
    site.flush()
    rows = [row for row in site.journal() if isinstance(row, ReceptionRow)]
    assert [(row.device, row.channel_name, row.ended_at_ms is None, row.reason) for row in rows] == [
        ("tv", "news", True, None),
        ("tv", "news", False, "stopped"),
    ]
    assert (rows[1].packets, rows[1].last_index, rows[1].since_ms) == (9, 77, rows[0].since_ms)
    assert site.run(site.operator().ask(operations.RECEPTION_LIST)).status == 503


def test_a_removal_ends_receptions_here(site: Site) -> None:
    """A device that is taken off the list receives no more here; so do all when the channel goes."""
    tv, radio = on_air(site, names=("tv", "radio"))
    keys_of(site, tv)
    keys_of(site, radio)
    site.tell(("party", tv.entry()))
    assert site.read("SELECT reason FROM receptions WHERE device = 'tv'") == [("removed",)]
    site.tell(("channel", channel(1, [], removed_at_ms=site.now_ms())))
    assert site.read("SELECT reason FROM receptions WHERE device = 'radio'") == [("channel-removed",)]
    assert refused(site, radio) == "unknown-channel"
    assert site.read("SELECT count(*) FROM epochs WHERE wrapped_key IS NOT NULL") == [(0,)]


def test_what_comes_before_what_it_names(site: Site) -> None:
    """A channel before its sender, reports before their channel, a name used again: all come right."""
    device = site.device("tv")
    site.tell(site.air(2, 4))
    site.tell(("channel", channel(2, [epoch(2, 4, "ACTIVE")])), ("party", device.entry(1, 2)))
    assert site.run(site.guest(device).must(operations.KEYS, channel="news")).senders == []
    site.tell(("party", site.studio()))
    grant = site.run(site.guest(device).must(operations.KEYS, channel="news"))
    assert (grant.channel.number, [sender.id for sender in grant.senders]) == (2, ["studio"])
    site.tell(("channel", channel(3, [epoch(3, 4, "ACTIVE")])), ("party", device.entry(3)))
    assert site.run(site.guest(device).must(operations.KEYS, channel="news")).channel.number == 3
    site.tell(("channel", channel(2, [], removed_at_ms=site.now_ms())))
    assert site.run(site.guest(device).must(operations.KEYS, channel="news")).channel.number == 3


def test_a_device_that_is_registered_anew(site: Site) -> None:
    """New keys count at once, old ones no more; what is removed is unknown."""
    (device,) = on_air(site)
    again = site.device("tv")
    site.tell(("party", again.entry(1)))
    assert keys_of(site, again) == [4, 5]
    assert refused(site, device) == "not-authenticated"
    site.tell(("party", again.entry(is_removed=True)))
    assert refused(site, again) == "not-authenticated"
    assert site.read("SELECT wrapped_kek FROM principals WHERE id = 'tv'") == [(None,)]


def test_status_tells_how_it_is(site: Site) -> None:
    """An operator hears from a replica itself whom it heard last, how long ago, and what waits."""
    operator = site.operator()
    fresh = site.run(operator.must(CLUSTER_STATUS))
    assert (fresh.name, fresh.role, fresh.age_ms, fresh.is_fresh) == ("replica-1", "replica", None, False)
    (device,) = on_air(site)
    keys_of(site, device)
    site.let_pass(31)
    status = site.run(operator.must(CLUSTER_STATUS))
    assert (status.master, status.age_ms, status.is_fresh) == ("master", 31_000, False)
    assert (status.version, status.journal_depth) == (site.of_master.version, 1)
    assert (status.parties, status.channels, status.entries_rejected) == (2, 1, 0)
    assert site.run(site.guest(device).ask(CLUSTER_STATUS)).problem == "wrong-role"


def test_metrics_tell_how_it_is(site: Site) -> None:
    """Age, version, journal and relayed requests stand among the metrics."""
    (device,) = on_air(site)
    site.let_pass(7)
    keys_of(site, device)
    assert site.run(site.operator().ask(operations.CHANNEL_LIST)).status == 503
    text = site.replica.public.render_metrics().decode()
    for line in (
        "sealcast_replica_state_age_seconds 7.0",
        "sealcast_replica_fresh 1.0",
        f"sealcast_replica_version {float(site.of_master.version)}",
        'sealcast_replica_entries{outcome="taken"} 5.0',
        'sealcast_replica_relayed_total{outcome="unanswered"} 1.0',
        "sealcast_grants_total 2.0",
    ):
        assert line in text
