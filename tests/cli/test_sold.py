"""Shows how devices are sold and come to their channels, command by command, and who is turned away."""

import csv
import io
import json
import random
import signal
from pathlib import Path

import pytest

from cli.terminal import Terminal, Typist, new_operator
from sealcast.cli.soldfile import BATCH_BYTES_MAX, SoldFile
from sealcast.core.errors import UsageError
from sealcast.messages.encoding import encode

ROWS = 1_203
"""More than two requests hold."""

TRIES_MAX = 200
"""Refusals that may come before a reload is done: each takes 0.1 s, and a busy machine its time."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """Return an operator's terminal; its key server is started by who needs it."""
    return new_operator(tmp_path_factory.mktemp("seller"))


def invited(type_at: Typist, site: Terminal, *options: str) -> str:
    """Return the line of a fresh invitation."""
    return type_at(site, "registry", "invite", *options).out.split()[-1]


def test_sell_enrol_subscribe(operator: Terminal, type_at: Typist, tmp_path: Path) -> None:
    """Sell, enrol, subscribe; a second subscription, a closed channel and an unsold device are refused."""
    viewer = Terminal(tmp_path)
    out = type_at(operator, "channel", "add", "film", "--group", "239.255.9.1:5004", "--open").out
    assert out.startswith("channel film has number ")
    type_at(operator, "channel", "add", "shut", "--group", "239.255.9.2:5004")
    out = type_at(operator, "sold", "add", "TV-0001", "--seller", "Shop 7", "--on", "2026-01-31").out
    assert out == "TV-0001 is on the list of devices sold\n"
    out = type_at(operator, "sold", "add", "TV-0001").out
    assert out == "TV-0001 was sold before, and its entry stays as it is\n"

    line = invited(type_at, operator)
    fake = type_at(viewer, "enrol", line, "--id", "TV-FAKE")
    assert fake.status == 4
    assert fake.complaint == "no device 'TV-FAKE' was sold as far as we know; ask where you bought it"
    assert not list(viewer.folder.iterdir())
    assert "device TV-0001 is enrolled" in type_at(viewer, "enrol", line, "--id", "TV-0001").out

    subscribe = ("subscribe", "film", "--user", "Ada Lovelace")
    out = type_at(viewer, *subscribe).out
    assert out.startswith("TV-0001 is subscribed to film for Ada Lovelace, since 20")
    second = type_at(viewer, *subscribe)
    assert (second.status, second.complaint) == (4, "TV-0001 is subscribed to film already")
    shut = type_at(viewer, "subscribe", "shut", "--user", "Ada")
    assert (shut.status, shut.complaint) == (4, "shut is not open to subscribers; ask its operator")
    type_at(operator, "channel", "open", "shut")
    told = json.loads(type_at(viewer, "subscribe", "shut", "--user", "Ada", "--json").out)
    assert (told["channel"], told["device"], told["user"]) == ("shut", "TV-0001", "Ada")

    table = type_at(operator, "subscriber", "list", "film").out.splitlines()
    assert table[0].split() == ["CHANNEL", "DEVICE", "USER", "SINCE", "KEK"]
    assert "TV-0001" in table[1]
    assert "Ada Lovelace" in table[1]
    sold = type_at(operator, "sold", "list").out.splitlines()
    assert sold[0].split() == ["SERIAL", "FROM", "SOLD", "ON", "SELLER", "ENROLLED", "NOTE"]
    assert sold[1].split() == ["TV-0001", "sale", "2026-01-31", "Shop", "7", "yes"]

    type_at(operator, "sold", "remove", "TV-0001")
    type_at(operator, "sold", "add", "TV-0002")
    type_at(operator, "channel", "add", "late", "--group", "239.255.9.3:5004", "--open")
    returned = type_at(viewer, "subscribe", "late", "--user", "Ada")
    assert returned.status == 4
    assert "'TV-0001' was sold as far as we know" in returned.complaint


def test_channels_open_and_close(operator: Terminal, type_at: Typist) -> None:
    """Opening and closing says what it means, and shows in list and details."""
    type_at(operator, "channel", "add", "door", "--group", "239.255.9.4:5004")
    out = type_at(operator, "channel", "open", "door").out
    assert out == "channel door is open: devices may subscribe to it themselves\n"
    assert "0, open to others" in type_at(operator, "channel", "show", "door").out
    out = type_at(operator, "channel", "close", "door").out
    assert out == "channel door is closed: devices are subscribed by its operator only\n"
    row = json.loads(type_at(operator, "channel", "show", "door", "--json").out)
    assert not row.get("open")


def test_offenders(operator: Terminal, type_at: Typist) -> None:
    """The list of offenders is empty at first, and a pardon for nobody is refused."""
    assert json.loads(type_at(operator, "subscriber", "offenders", "--json").out) == {"offenders": []}
    refused = type_at(operator, "subscriber", "pardon", "TV-1")
    assert (refused.status, refused.complaint) == (
        4,
        "'TV-1' has no offence to be pardoned; see: subscriber offenders",
    )


def write(path: Path, *rows: str, header: str = "serial,sold_on,seller,note", mark: bytes = b"") -> Path:
    """Write a file of sold devices."""
    path.write_bytes(mark + "\r\n".join([header, *rows, ""]).encode())
    return path


def test_import(operator: Terminal, type_at: Typist, tmp_path: Path) -> None:
    """A whole file goes in with one command, in batches; once more, all of it is known."""
    rows = (f'I-{n:05},2026-02-{n % 28 + 1:02},"Müller, Söhne","no ""{n}"""' for n in range(ROWS))
    path = write(tmp_path / "march.csv", *rows, mark=b"\xef\xbb\xbf")
    out = type_at(operator, "sold", "import", str(path)).out
    assert out == f"{ROWS} devices are new on the list\n"
    told = json.loads(type_at(operator, "sold", "import", str(path), "--json").out)
    assert told == {"good": ROWS, "bad": 0, "added": 0, "known": ROWS, "strict": False}
    page = json.loads(
        type_at(operator, "sold", "list", "--after", "I-00000", "--limit", "1100", "--json").out
    )
    assert [row["serial"] for row in page["devices"]] == [f"I-{n:05}" for n in range(1, 1101)]
    assert page["more"]
    assert (page["devices"][6]["seller"], page["devices"][6]["note"]) == ("Müller, Söhne", 'no "7"')


BAD_LINES = {
    3: ("two words,,,", "a serial number has 1 to 128 printable ASCII characters, no spaces"),
    4: ("B-1,,,", "serial number B-1 stands in line 2 already"),
    5: ("B-2,31.01.2026,,", "the date '31.01.2026' is none; write it as 2026-01-31"),
    6: ("B-3,,", "it has 3 columns, and the first line has 4"),
    8: ("B-4,,,,", "it has 5 columns, and the first line has 4"),
    9: ('B-5,,"never closed,', "its quotes do not fit: unexpected end of data"),
    10: (",,,", "a serial number has 1 to 128 printable ASCII characters, no spaces"),
    11: ("B-6,,," + "x" * 257, "the note has more than 256 characters"),
    12: ("B-7" + " " * 20_000, "it is longer than 16,384 bytes"),
}


@pytest.mark.parametrize("strict", [False, True])
def test_import_of_a_bad_file(operator: Terminal, type_at: Typist, tmp_path: Path, *, strict: bool) -> None:
    """Each bad line is told once, with number and reason; the good ones go in, or with --strict none."""
    rows = {2: "B-1,2026-01-31,,", 7: "", 13: f"B-{strict}-last,,,"}
    rows |= {n: row for n, (row, _) in BAD_LINES.items()}
    path = write(tmp_path / "bad.csv", *(rows[n] for n in sorted(rows)))
    options = ("--strict",) if strict else ()
    result = type_at(operator, "sold", "import", str(path), *options)
    assert result.status == 1
    assert result.err.splitlines() == [
        f"sealcast: {path} line {n}: {why}" for n, (_, why) in sorted(BAD_LINES.items())
    ]
    if strict:
        assert result.out == f"{len(BAD_LINES)} lines do not fit: nothing is imported\n"
    else:
        assert result.out == f"2 devices are new on the list; {len(BAD_LINES)} lines do not fit\n"
    listed = json.loads(type_at(operator, "sold", "list", "--after", "B-", "--limit", "3", "--json").out)
    assert (f"B-{strict}-last" in {row["serial"] for row in listed["devices"]}) is not strict


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "has to name the columns"),
        (b"TV-1,2026-01-31\n", "has to name the columns"),
        (b"serial;seller\n", "has to name the columns"),
        (b"serial,serial\n", "has to name the columns"),
        (b"serial,colour\n", "has to name the columns"),
        ("serial,note\n".encode("utf-16"), "it is not UTF-8"),
        (b"\0" * 100_000, "longer than"),
    ],
)
def test_what_is_no_list(
    operator: Terminal, type_at: Typist, tmp_path: Path, content: bytes, why: str
) -> None:
    """A file whose first line is no header is refused whole, with status 2; so is one that is not there."""
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    refused = type_at(operator, "sold", "import", str(path))
    assert refused.status == 2
    assert refused.complaint.startswith(f"{path} line 1: ")
    assert why in refused.complaint
    missing = type_at(operator, "sold", "import", str(tmp_path / "none.csv"))
    assert (missing.status, "none.csv" in missing.complaint) == (2, True)


def test_silence(site: Terminal, type_at: Typist, tmp_path: Path) -> None:
    """With `unsold = "silent"`, from a SIGHUP on, an unsold device gets no answer; a sold one is let in."""
    viewer = Terminal(tmp_path)
    config = site.folder / "sealcast.toml"
    with site.key_server() as server:
        type_at(site, "sold", "add", "TV-0001")
        line = invited(type_at, site)
        fake = ("enrol", line, "--id", "TV-FAKE")
        assert type_at(viewer, *fake).status == 4
        config.write_text(config.read_text().replace("[keyserver]", '[keyserver]\nunsold = "silent"', 1))
        assert '"silent"' in type_at(site, "config", "show").out
        server.send_signal(signal.SIGHUP)
        tries = (type_at(viewer, *fake) for _ in range(TRIES_MAX))
        # The reload itself may end a connection that is just being made: then nothing was asked yet.
        silent = next((each for each in tries if each.status != 4 and "our keys are kept" in each.err), None)
        assert silent is not None, "the reload never came"
        assert silent.status == 3, silent.complaint
        assert "broke off the connection" in silent.complaint
        assert type_at(viewer, "enrol", line, "--id", "TV-0001").status == 0


def read(content: bytes, path: Path) -> tuple[SoldFile, list[tuple[int, str]]]:
    """Read a file's content."""
    path.write_bytes(content)
    faults: list[tuple[int, str]] = []
    file = SoldFile()
    file.read(path, lambda line, fault: faults.append((line, fault)), lambda _: None)
    return file, faults


def test_any_bytes_are_read_or_refused(tmp_path: Path) -> None:
    """Whatever a file holds, each line is a device, blank, or one fault, and no device is lost."""
    chance = random.Random(5)  # noqa: S311 - the same cases each time
    for _ in range(60):
        noise = bytes(chance.choices(b'ab,"\r\n\xc3\xa4\xff\0 -2026', k=chance.randrange(400)))
        content = b"serial,note\n" + noise
        with read(content, tmp_path / "any.csv")[0] as file:
            lines = [line for line in noise.split(b"\n") if line.strip()]
            assert file.good + file.bad == len(lines)
            assert sum(len(batch) for batch in file.batches()) == file.good
    with pytest.raises(UsageError):
        read(b"\xff\xfe", tmp_path / "any.csv")


def test_batches_fit_into_requests(tmp_path: Path) -> None:
    """Rows as long as they may be are sent in smaller batches, in order, none left out."""
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["note", "serial", "seller"])
    for n in range(700):
        table.writerow(["\u20ac" * 256, f"{n:03}" + "s" * 125, "\U0001f4fa" * 256])
    file, faults = read(text.getvalue().encode(), tmp_path / "long.csv")
    assert faults == []
    with file:
        batches = list(file.batches())
    assert [device.serial[:3] for batch in batches for device in batch] == [f"{n:03}" for n in range(700)]
    assert len(batches) > 5
    assert all(len(encode(batch)) <= BATCH_BYTES_MAX + 2 for batch in batches)
