"""Shows usage on the command line: listed, exported as CloudEvents and gone on with, audited."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cli.terminal import Terminal, Typist

USAGE = ("billing", "usage")
HOUR_MS = 3_600_000
BEGAN_MS = 1_772_323_200_000
"""2026-03-01T00:00:00Z."""


def put_parties(folder: Path, *devices: str) -> None:
    """Put a sender on record, and devices that are subscribed since it all began."""
    (path,) = folder.rglob("keyserver.sqlite")
    parties = [("studio", "sender"), *((device, "device") for device in devices)]
    with closing(sqlite3.connect(path)) as database, database:
        database.executemany(
            "INSERT INTO principals (id, role, kind, public_keys, registered_at_ms)"
            " VALUES (?, ?, 'symmetric', '{}', 0)",
            parties,
        )
        database.executemany(
            "INSERT INTO subscriptions (channel, device, added_at_ms) VALUES (1, ?, ?)",
            [(device, BEGAN_MS) for device in devices],
        )


def put(folder: Path, epoch: int, *devices: str) -> None:
    """Put an epoch on record that was on air for its hour of the day, as its sender reports it."""
    (path,) = folder.rglob("keyserver.sqlite")
    start_ms = BEGAN_MS + (epoch - 1) * HOUR_MS
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "INSERT INTO epochs (channel, epoch, sender, ssrc, consumed, state, cause, leased_at_ms,"
            " published_at_ms, on_air_at_ms, off_air_at_ms, retired_at_ms)"
            " VALUES (1, ?, 'studio', ?, 1, 'RETIRED', 'schedule', ?, ?, ?, ?, ?)",
            (epoch, epoch, BEGAN_MS, start_ms, start_ms, start_ms + HOUR_MS, start_ms + HOUR_MS),
        )
        database.execute(
            "INSERT INTO totals (channel, ssrc, epoch, duration_ms, packets, bytes)"
            " VALUES (1, ?, ?, ?, 3600, 4500000)",
            (epoch, epoch, HOUR_MS),
        )
        for device in devices:
            row = (device, epoch, start_ms)
            database.execute(
                "INSERT INTO grants (device, channel, epoch, granted_at_ms) VALUES (?, 1, ?, ?)", row
            )


@pytest.fixture(scope="module")
def site(operator: Terminal) -> Terminal:
    """Return an operator's terminal with a channel `news`, on which three epochs were on air long ago."""
    operator.good("channel", "add", "news", "--group", "239.255.9.1:5004")
    put_parties(operator.folder, "TV-0001", "TV-0002")
    put(operator.folder, 1, "TV-0001")
    put(operator.folder, 2, "TV-0001")
    put(operator.folder, 3, "TV-0001", "TV-0002")
    return operator


def test_list(site: Terminal, type_at: Typist) -> None:
    """A table for people, an object for programs; filters, and pages that go on."""
    table = type_at(site, *USAGE, "list").out.splitlines()
    assert table[0].split() == ["DEVICE", "CHANNEL", "EPOCH", "CAUSE", "FROM", "TO", "BYTES", "PACKETS"]
    assert table[1].split() == [
        *("TV-0001", "news", "1", "schedule"),
        *("2026-03-01T00:00:00Z", "2026-03-01T01:00:00Z", "4500000", "3600"),
    ]
    assert len(table) == 5
    of_one = type_at(site, *USAGE, "list", "--device", "TV-0002", "--channel", "1").out.splitlines()
    assert [line.split()[2] for line in of_one[1:]] == ["3"]
    span = ("--since", "2026-03-01T02:00+01:00", "--until", "2026-03-01T02:00Z")
    told = json.loads(type_at(site, *USAGE, "list", *span, "--json").out)
    assert [row["id"] for row in told["usage"]] == ["1/2/TV-0001"]
    first = type_at(site, *USAGE, "list", "--limit", "3")
    assert first.err == "there is more: --after '3 TV-0001'\n"
    rest = type_at(site, *USAGE, "list", "--after", "3 TV-0001").out.splitlines()
    assert [line.split()[0] for line in rest[1:]] == ["TV-0002"]
    assert type_at(site, *USAGE, "list", "--channel", "sport").status == 4
    assert type_at(site, *USAGE, "list", "--since", "yesterday").status == 2


def test_export(site: Terminal, type_at: Typist, tmp_path: Path) -> None:
    """All of it as CloudEvents; the same command again brings what is new, and nothing twice."""
    out = type_at(site, *USAGE, "export")
    ids = ["1/1/TV-0001", "1/2/TV-0001", "1/3/TV-0001", "1/3/TV-0002"]
    events = [json.loads(line) for line in out.out.splitlines()]
    assert [event["id"] for event in events] == ids
    assert {event["source"] for event in events} == {"sealcast://Test%20TV"}
    assert out.err == "sealcast: what comes later comes behind: --after '4'\n"

    file, cursor = tmp_path / "usage.jsonl", tmp_path / "place"
    again = (*USAGE, "export", "--cursor", str(cursor), "--output", str(file))
    for _ in range(2):
        assert type_at(site, *again).out == ""
        assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == ids
    put(site.folder, 4, "TV-0002")
    type_at(site, *again)
    assert [json.loads(line)["id"] for line in file.read_text().splitlines()] == [*ids, "1/4/TV-0002"]
    both = type_at(site, *again, "--after", "1")
    assert (both.status, both.complaint) == (
        2,
        "name a place with --after or a file with --cursor, not both",
    )
    cursor.write_text("a letter\nof two lines")
    assert type_at(site, *again).status == 2
    nowhere = type_at(site, *USAGE, "export", "--output", str(tmp_path / "absent" / "file"))
    assert nowhere.complaint.startswith("cannot write")


def test_audit(site: Terminal, type_at: Typist) -> None:
    """All is well; what somebody changed by hand is named, and the status is 1 then."""
    type_at(site, *USAGE, "list")
    fine = type_at(site, *USAGE, "audit")
    assert fine.status == 0
    assert fine.out.splitlines()[-1] == "all is as it has to be"
    (path,) = site.folder.rglob("keyserver.sqlite")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE totals SET bytes = bytes + 1 WHERE epoch = 2")
    bad = type_at(site, *USAGE, "audit")
    assert bad.status == 1
    expected = "air: 1/2: 4500000 bytes and 3600 packets are recorded, 4500001 and 3600 reported"
    assert bad.out.splitlines()[-2:] == [expected, "1 found"]
    told = json.loads(type_at(site, *USAGE, "audit", "--json").out)
    assert [finding["kind"] for finding in told["findings"]] == ["air"]
    assert told["checked"]["grants"] >= 4
