"""Shows that the demo tells the truth: on a real run, about made-up reports, and when it is interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from sealcast.cli.main import app
from sealcast.core.errors import FormatError, UsageError
from sealcast.demo.run_bills import OnAir, Subscribers, bill_lines, bills_of
from sealcast.demo.run_clip import prepare_clip
from sealcast.demo.run_picture import receiver_row, sender_row
from sealcast.demo.run_program import News
from sealcast.demo.run_verdict import Evidence, ReceiverSummary, SenderSummary, judge, read_summary
from sealcast.demo.testcard import make_testcard
from sealcast.messages.invoicing import Invoice, InvoiceLine

DEMO = (sys.executable, "-m", "sealcast.cli", "demo")
SENT = SenderSummary(packets=1000, bytes=5, key_changes=4)
GOOD = ReceiverSummary(
    packets_received=1000,
    packets_opened=1000,
    lost=0,
    switch_lost=0,
    key_changes=4,
    joined_at_roc=1,
    first_packet_ms=3.0,
)
OUTSIDER = replace(GOOD, packets_opened=0, joined_at_roc=None, first_packet_ms=None)


WHO = Subscribers("TV-1", "TV-2", "TV-late")


def bill(customer: str, **lines: tuple[int, int]) -> Invoice:
    """Return an invoice with these lines: units, and cents."""
    total = sum(minor for _, minor in lines.values())
    return Invoice(
        kind="invoice",
        number=len(customer),
        operator="Demo",
        customer=customer,
        customer_name="",
        currency="EUR",
        decimals=2,
        issued_at="2026-01-01T00:00:00+00:00",
        cycle="closing",
        zone="UTC",
        lines=[
            InvoiceLine(
                line=place,
                device=customer,
                channel=1,
                channel_name="demo",
                period_start="",
                period_end=None,
                tariff="",
                valid_from="",
                name=name,
                quantity="bytes" if name == "Data" else None,
                units=count,
                workings="as agreed",
                so_far_minor=minor,
                billed_minor=0,
                amount_minor=minor,
            )
            for place, (name, (count, minor)) in enumerate(lines.items(), 1)
        ],
        net_minor=total,
        tax_minor=0,
        total_minor=total,
    )


# Five bytes are within the allowance: 1.50, and 19 % of it, 0.285. Five keys at 0.12: 0.60, and 0.114.
GOOD_BILLS = [
    bill("TV-1", Subscription=(1, 150), Data=(5, 0), tax=(0, 29)),
    bill("TV-2", Keys=(5, 60), tax=(0, 11)),
    bill("TV-late", Subscription=(1, 150), Data=(3, 0), tax=(0, 29)),
]


def temporary_folders(place: Path) -> list[Path]:
    """Return the demo's folders that are left."""
    return list(place.glob("sealcast-demo-*"))


def test_demo(tmp_path: Path) -> None:
    """25 seconds on the air: at least 4 changes, nothing lost, equal output, and so on."""
    done = subprocess.run(
        [*DEMO, "--seconds", "25", "--json", "--bills", str(tmp_path / "bills")],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    verdict = json.loads(done.stdout)
    assert set(verdict) == {"subscribers", "late_joiner", "outsider", "on_air", "bills", "ok"}
    assert verdict["ok"] is True
    assert len(verdict["subscribers"]) == 2
    for subscriber in verdict["subscribers"]:
        assert subscriber["packets"] > 10_000
        assert (subscriber["lost"], subscriber["switch_lost"]) == (0, 0)
        assert subscriber["key_changes"] >= 4
        assert subscriber["sha256_matches"] is True
    assert verdict["late_joiner"]["joined_at_roc"] >= 1
    assert verdict["late_joiner"]["first_packet_ms"] <= 500
    assert verdict["outsider"]["packets_received"] > 0
    assert verdict["outsider"]["packets_opened"] == 0
    bills = {bill["subscriber"]: bill for bill in verdict["bills"]}
    assert list(bills) == ["TV-1", "TV-2", "TV-late"]
    assert units(bills["TV-1"])["Data"] == verdict["on_air"]["bytes"]
    assert units(bills["TV-2"])["Keys"] == verdict["on_air"]["keys"] >= 5
    assert 0 < units(bills["TV-late"])["Data"] < verdict["on_air"]["bytes"]
    names = sorted(file.name for file in (tmp_path / "bills").glob("*.html"))
    assert names == [f"invoice-{number:06}.html" for number in (1, 2, 3)]
    assert "$ sealcast receive demo" in done.stderr
    assert temporary_folders(tmp_path) == []


def units(bill: dict[str, Any]) -> dict[str, int]:
    """Return the units of each line of a bill."""
    return {line["name"]: line["units"] for line in bill["lines"]}


def test_no_folder_for_the_bills(tmp_path: Path) -> None:
    """A folder that cannot be made is told before anything is started."""
    (tmp_path / "file").touch()
    done = CliRunner().invoke(app, ["demo", "--bills", str(tmp_path / "file" / "bills")])
    assert done.exit_code != 0
    assert isinstance(done.exception, UsageError), done.output
    assert "cannot make the folder" in str(done.exception)


def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C ends the demo with status 130, and neither a program nor a folder of it is left."""
    with subprocess.Popen(
        [*DEMO, "--seconds", "20"],
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if line.startswith("$ sealcast send"):
                break
        time.sleep(1)
        demo.send_signal(signal.SIGINT)
        rest = demo.stdout.read()
        assert demo.wait(30) == 130, rest
    assert "Traceback" not in rest
    assert temporary_folders(tmp_path) == []
    assert not [entry for entry in Path("/proc").glob("[0-9]*/environ") if str(tmp_path) in _read(entry)]


def _read(path: Path) -> str:
    """Return a file of /proc, or nothing if its process ended meanwhile or is not ours."""
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""


def evidence(folder: Path, **changes: object) -> Evidence:
    """Return what a perfect run left, but for the changes."""
    (folder / "input.ts").write_bytes(b"video and more")
    (folder / "1.ts").write_bytes(b"video")
    (folder / "2.ts").write_bytes(b"video")
    parts: dict[str, object] = {
        "sender": SENT,
        "subscribers": [GOOD, GOOD],
        "late_joiner": replace(GOOD, packets_opened=500),
        "outsider": OUTSIDER,
        "source": folder / "input.ts",
        "outputs": [folder / "1.ts", folder / "2.ts"],
        "changes_min": 4,
        "invoices": GOOD_BILLS,
        "billed": WHO,
    }
    return Evidence(**{**parts, **changes})  # type: ignore[arg-type]


def test_verdict_is_yes_when_all_held(tmp_path: Path) -> None:
    """A perfect run has no fault."""
    verdict, faults = judge(evidence(tmp_path))
    assert faults == []
    assert verdict.ok


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (
            {"subscribers": [GOOD, replace(GOOD, packets_opened=999, lost=1)]},
            "subscriber 2 opened 999 of 1000",
        ),
        ({"subscribers": [replace(GOOD, packets_opened=999), GOOD]}, "subscriber 1 opened 999 of 1000"),
        ({"subscribers": [GOOD, replace(GOOD, key_changes=3)]}, "subscriber 2 saw 3 key changes, not 4"),
        ({"sender": SenderSummary(packets=1000, bytes=6, key_changes=4)}, "is not what was sent"),
        ({"late_joiner": replace(GOOD, joined_at_roc=0)}, "joined at ROC 0"),
        ({"late_joiner": replace(GOOD, first_packet_ms=501.0)}, "first packet took 501"),
        ({"late_joiner": replace(GOOD, first_packet_ms=None)}, "first packet took None"),
        ({"outsider": replace(OUTSIDER, packets_opened=1)}, "opened 1 packets"),
        ({"outsider": replace(OUTSIDER, packets_received=0)}, "shows nothing"),
        ({"invoices": GOOD_BILLS[:2]}, "bills are of TV-1, TV-2, not of TV-1, TV-2, TV-late"),
        ({"invoices": [*GOOD_BILLS, GOOD_BILLS[0]]}, "bills are of"),
        (
            {"invoices": [*GOOD_BILLS[::2], bill("TV-2", Keys=(6, 72), tax=(0, 14))]},
            "TV-2 is billed 6 units for 0.72 as Keys, and was to be billed 5 for 0.60",
        ),
        (
            {"invoices": [*GOOD_BILLS[1:], bill("TV-1", Subscription=(1, 150), Data=(4, 0), tax=(0, 29))]},
            "TV-1 is billed 4 units for 0.00 as Data, and was to be billed 5",
        ),
        (
            {"invoices": [*GOOD_BILLS[:2], bill("TV-late", Subscription=(1, 150), Data=(6, 0), tax=(0, 29))]},
            "TV-late came late and is billed 6 of 5 bytes",
        ),
        (
            {"invoices": [*GOOD_BILLS[:2], replace(GOOD_BILLS[2], total_minor=1)]},
            "do not add up to 0.01",
        ),
    ],
)
def test_verdict_is_no(tmp_path: Path, changes: dict[str, object], fault: str) -> None:
    """Each thing that does not hold makes the verdict no, and is named."""
    verdict, faults = judge(evidence(tmp_path, **changes))
    assert not verdict.ok
    assert any(fault in line for line in faults)


def test_bills_are_said_in_lines() -> None:
    """What was on the air stands first, then each bill with its lines, their workings and the total."""
    lines = list(bill_lines(bills_of(GOOD_BILLS), OnAir(keys=5, packets=1_000, bytes=1_316_000)))
    assert lines[0].startswith("bills: on the air were 5 keys, 1,000 packets and 1,316,000 bytes")
    assert [line.split() for line in lines[7:11]] == [
        ["TV-2,", "invoice", "000004"],
        ["Keys", "0.60", "as", "agreed"],
        ["tax", "0.11", "as", "agreed"],
        ["total", "0.71", "EUR"],
    ]


def test_other_output_is_noticed(tmp_path: Path) -> None:
    """An output of the right length with other bytes does not match."""
    given = evidence(tmp_path)
    (tmp_path / "2.ts").write_bytes(b"vidio")
    verdict, _ = judge(given)
    assert [each.sha256_matches for each in verdict.subscribers] == [True, False]


def test_summary_is_the_last_line() -> None:
    """A summary is read from the last line; without one the error says so."""
    text = 'something\n{"packets": 1, "bytes": 2, "key_changes": 3, "more": 4}\n'
    assert read_summary(text, SenderSummary) == SenderSummary(packets=1, bytes=2, key_changes=3)
    for wrong in ("", "text\n", '{"packets": "many"}'):
        with pytest.raises(FormatError, match="ended without its summary"):
            read_summary(wrong, SenderSummary)


def test_rows() -> None:
    """The picture tells what a party does."""
    news = News(epoch=7, remaining_ms=2500, packets=10, packets_received=10, packets_opened=9, lost=1)
    assert sender_row("s", None, 5000).state == "starting"
    assert sender_row("s", news, 5000).epoch.startswith("7 █████░")
    assert receiver_row("r", None, expected=True, ended=False).state == "comes later"
    assert receiver_row("r", News(), expected=False, ended=False).state == "no key"
    assert receiver_row("r", news, expected=False, ended=False).detail == "9 of 10 opened, 1 lost"
    assert receiver_row("r", news, expected=False, ended=True).state == "ended"


def test_short_clip_is_repeated(tmp_path: Path) -> None:
    """A given clip is repeated, its clocks going on, until it lasts as long as the demo."""
    clip, target = tmp_path / "clip.ts", tmp_path / "input.ts"
    make_testcard(clip, 1)
    prepare_clip(clip, 3.5, target)
    assert target.read_bytes().startswith(clip.read_bytes())
    assert 3 < target.stat().st_size / clip.stat().st_size <= 5
