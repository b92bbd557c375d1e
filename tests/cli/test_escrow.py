"""Shows the administration of an escrow, as typed: made, served, sellers, keys, money in and out, notices."""

import json
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from cli.terminal import Terminal, Typist, free_port
from sealcast.messages import jose
from sealcast.messages.encoding import decode, encode
from sealcast.messages.escrow import TYP_ESCROW_KEY, EscrowKeyRow, KeyDocument, LeadKey
from sealcast.messages.jwk import new_signing_pair
from sealcast.transport.system import SystemRandom

READY = "escrow listens on "


@dataclass
class Office:
    """An operator with a key server and an escrow that run, and an enrolled seller."""

    terminal: Terminal
    url: str
    printed: str
    settings: Path


@pytest.fixture(scope="module")
def office(operator: Terminal) -> Iterator[Office]:
    """Make the escrow and the seller once, by the commands that a person types."""
    port = free_port()
    printed = operator.good(
        "init", "escrow", "escrow", "--from", "keyserver", "--id", "Trust", "--port", str(port)
    )
    settings = operator.folder / "sealcast.toml"
    with settings.open("a") as file:
        file.write(
            f'\n[escrow]\nlisten = "127.0.0.1:{port}"\nstate = "escrow"\nurls = ["https://127.0.0.1:{port}"]\n'
        )
    invited = json.loads(operator.good("registry", "invite", "--role", "seller", "--id", "ACME", "--json"))
    operator.good("enrol", invited["line"], "--keys", "ed25519", "--output", "acme.vault")
    with operator.running("serve", "escrow") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(READY), process.stderr.read() if process.stderr else line
        yield Office(operator, line.removeprefix(READY).strip(), printed, settings)


def test_what_init_makes_and_says(office: Office) -> None:
    """The state is the operator's alone, and what comes next is printed, with the addresses."""
    assert stat.S_IMODE((office.terminal.folder / "escrow").stat().st_mode) == 0o700
    assert "escrow Trust of Test TV is set up" in office.printed
    assert "sealcast serve escrow --state escrow" in office.printed
    again = office.terminal.run("init", "escrow", "escrow", "--from", "keyserver")
    assert (again.status, "never overwritten" in again.complaint) == (2, True)
    wrong = office.terminal.run("serve", "keyserver", "--state", "escrow", "--listen", "127.0.0.1:1")
    assert (wrong.status, "sealcast serve escrow" in wrong.complaint) == (2, True)


def test_a_seller_from_admission_to_a_key_in_a_file(office: Office, type_at: Typist) -> None:
    """Who is not admitted gets no key; then one for each price, saved for packages, and closed at the end."""
    seller = ("--credential", "acme.vault")
    key = ("escrow", "key", "add", "film", "4.99", "EUR", *seller)
    early = type_at(office.terminal, *key)
    assert (early.status, "has not admitted ACME" in early.err) == (4, True)
    admitted = type_at(office.terminal, "escrow", "seller", "admit", "ACME", "--fee", "100")
    assert (admitted.status, "10 %" in admitted.out) == (0, True)
    made = type_at(office.terminal, *key, "--output", "film.escrow")
    assert made.status == 0, made.err
    row = decode((office.terminal.folder / "film.escrow").read_bytes().strip(), EscrowKeyRow)
    document = decode(jose.unverified_payload(row.document), KeyDocument)
    assert (document.price_micro, document.escrow, document.servers) == (4_990_000, "Trust", [office.url])
    again = type_at(office.terminal, *key, "--json")
    assert json.loads(again.out)["keys"][0]["key"] == row.key
    over = type_at(office.terminal, *key, "--output", "film.escrow")
    assert (over.status, "never overwritten" in over.err) == (2, True)
    share = ("escrow", "key", "add", "share", "4.99", "EUR", *seller, "--upon")
    loop = type_at(office.terminal, *share, "film.escrow")
    assert (loop.status, "orders at another escrow" in loop.err) == (4, True)
    elsewhere = encode(replace(document, escrow="Other"))
    token = jose.sign(elsewhere, new_signing_pair(SystemRandom()), kid="Other", typ=TYP_ESCROW_KEY)
    (office.terminal.folder / "other.escrow").write_bytes(encode(replace(row, document=token)))
    shared = json.loads(type_at(office.terminal, *share, "other.escrow", "--json").out)["keys"][0]
    upon = decode(jose.unverified_payload(shared["document"]), KeyDocument).upon
    assert upon == LeadKey(escrow="Other", key=row.key)
    listed = type_at(office.terminal, "escrow", "key", "list", "--at", office.url)
    assert "4.99" in listed.out
    assert "ACME" in listed.out
    closed = type_at(office.terminal, "escrow", "key", "close", "film", *seller)
    assert (closed.status, "closed" in closed.out) == (0, True)
    none = type_at(office.terminal, "escrow", "key", "close", "song", *seller)
    assert (none.status, "no key of the class" in none.err) == (2, True)


def test_money_in_and_out(office: Office, type_at: Typist) -> None:
    """A deposit for nobody is refused, a payout is never more than there is, and amounts are above 0."""
    nobody = type_at(office.terminal, "escrow", "deposit", "TV-9", "5", "EUR", "--id", "bank-1")
    assert (nobody.status, "TV-9" in nobody.err) == (4, True)
    assert type_at(office.terminal, "escrow", "join", "--credential", "acme.vault").status == 0
    more = type_at(office.terminal, "escrow", "payout", "ACME", "5", "EUR", "--id", "bank-2")
    assert more.status == 4
    none = type_at(office.terminal, "escrow", "payout", "ACME", "-5", "EUR", "--id", "bank-3")
    assert none.status == 2
    for arguments in (("--credential", "acme.vault"), ("--party", "ACME"), ()):
        shown = type_at(office.terminal, "escrow", "balance", *arguments, "--json")
        assert shown.status == 0, shown.err
        assert "balances" in json.loads(shown.out)


def test_notices_are_there_for_programs_too(office: Office, type_at: Typist) -> None:
    """Without an order there is no notice; with --json the escrow's certificate comes along."""
    shown = type_at(office.terminal, "escrow", "notices", "--json")
    found = json.loads(shown.out)
    assert found["notices"] == []
    assert "BEGIN CERTIFICATE" in found["certificate"]


def test_what_is_typed_wrongly_is_said_in_a_line(office: Office, type_at: Typist) -> None:
    """A seller's vault where an administrator's is needed, and an escrow that does not run."""
    wrong = type_at(office.terminal, "escrow", "seller", "list", "--credential", "acme.vault")
    assert (wrong.status, "administrator" in wrong.err) == (2, True)
    nowhere = f"https://127.0.0.1:{free_port()}"
    away = type_at(office.terminal, "escrow", "balance", "--at", nowhere)
    assert (away.status, "is it running" in away.err) == (3, True)
    alone = type_at(office.terminal, "escrow", "join", "--agent", "nowhere.sock")
    assert (alone.status, "no device agent answers" in alone.err) == (3, True)
