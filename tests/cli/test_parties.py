"""Shows what an operator does with parties and their certificates, command by command."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from cli.terminal import Terminal, Typist, key_server_url, new_operator
from sealcast.device.chains import read_party
from sealcast.device.csr import make_csr
from sealcast.device.newkeys import KeyKind, new_keys
from sealcast.device.vault import load_vault
from sealcast.messages.encoding import encode
from sealcast.transport.system import SystemRandom

WORDS = "correct horse battery staple"


def place(number: int) -> tuple[str, str]:
    """Return the option for a group of its own."""
    return ("--group", f"239.255.9.{number}:5004")


def test_a_channel_with_its_sender(operator: Terminal, type_at: Typist) -> None:
    """One command makes channel and sender; the configuration names the vault, if it named none."""
    before = (operator.folder / "sealcast.toml").read_text()
    out = type_at(operator, "channel", "add", "p1", *place(1), "--new-sender", "p1-studio").out
    vault = operator.folder / "p1-studio.vault"
    assert out.splitlines()[1:] == [
        f"sender p1-studio is registered; its vault is {vault}",
        f"configuration {operator.folder}/sealcast.toml names it now under [sender]",
    ]
    after = (operator.folder / "sealcast.toml").read_text()
    assert after == before + '\n[sender]\ncredential = "p1-studio.vault"\n'
    assert load_vault(vault).role == "sender"
    more = type_at(operator, "channel", "add", "p2", *place(2), "--new-sender", "p2-studio").out
    assert "to use it without --credential, set instead under [sender]" in more
    assert (operator.folder / "sealcast.toml").read_text() == after
    assert type_at(operator, "channel", "senders", "p2").out == "p2: p2-studio\n"


def test_a_refused_channel_leaves_no_sender(operator: Terminal, type_at: Typist) -> None:
    """Where the channel is refused, neither the sender nor its vault is there afterwards."""
    type_at(operator, "channel", "add", "p3", *place(3))
    refused = type_at(operator, "channel", "add", "p4", *place(3), "--new-sender", "p4-studio")
    assert refused.status == 4
    assert "p3" in refused.complaint
    assert not list(operator.folder.glob("p4-studio.*"))
    assert "p4-studio" not in type_at(operator, "registry", "list").out
    odd = type_at(operator, "channel", "add", "p4", *place(4), "--new-sender", "../p4")
    assert odd.status == 2
    assert "cannot be the name of a file" in odd.complaint


def test_senders_of_a_channel(operator: Terminal, type_at: Typist) -> None:
    """A channel has no sender until one is put on its list, and loses one that is taken off."""
    type_at(operator, "channel", "add", "p5", *place(5))
    assert type_at(operator, "channel", "senders", "p5").out == "p5: nobody may send\n"
    for name in ("p5-a", "p5-b"):
        type_at(operator, "registry", "add", name, "--role", "sender", "--output", f"{name}.vault")
    both = type_at(operator, "channel", "senders", "p5", "--add", "p5-a", "--add", "p5-b", "--json")
    assert json.loads(both.out) == {"channel": "p5", "senders": ["p5-a", "p5-b"]}
    assert type_at(operator, "channel", "senders", "p5", "--remove", "p5-a").out == "p5: p5-b\n"
    assert type_at(operator, "channel", "senders", "p5", "--add", "nobody").status == 4


@pytest.mark.parametrize("role", ["operator", "replica"])
def test_other_roles(operator: Terminal, type_at: Typist, role: str) -> None:
    """A second operator administers with its own vault; a replica may not."""
    name = f"p-{role}"
    type_at(operator, "registry", "add", name, "--role", role, "--output", f"{name}.vault")
    listed = type_at(operator, "channel", "list", SEALCAST_ADMIN_CREDENTIAL=f"{name}.vault")
    assert listed.status == (0 if role == "operator" else 2)


def test_certificates(operator: Terminal, type_at: Typist, tmp_path: Path) -> None:
    """Keys that were made elsewhere are certified by a request, listed, and revoked once and for all."""
    signing, kek = new_keys(KeyKind.P256, SystemRandom())
    (tmp_path / "tv.csr").write_text(make_csr(signing))
    (tmp_path / "kek.json").write_bytes(encode(kek.public()))
    (tmp_path / "secret.json").write_bytes(encode(kek))
    pem = tmp_path / "tv.pem"
    files = ("--csr", str(tmp_path / "tv.csr"), "--kek", str(tmp_path / "kek.json"), "--output", str(pem))
    assert "device P-1 is registered" in type_at(operator, "ca", "issue", "P-1", *files).out
    assert len(x509.load_pem_x509_certificates(pem.read_bytes())) == 3
    # With the file in the way nobody is registered: the certificates would be lost.
    in_the_way = type_at(operator, "ca", "issue", "P-2", *files)
    assert (in_the_way.status, f"{pem} exists" in in_the_way.complaint) == (2, True)
    assert "P-2" not in type_at(operator, "registry", "list").out
    secret = type_at(operator, "ca", "issue", "P-2", *files[:3], str(tmp_path / "secret.json"))
    assert secret.status == 2
    assert "holds a secret key" in secret.complaint
    rows = json.loads(type_at(operator, "ca", "list", "--json").out)["certificates"]
    ours = [row for row in rows if row["id"] == "P-1"]
    assert {(row["use"], row["state"]) for row in ours} == {("signing", "valid"), ("kek", "valid")}
    revoked = type_at(operator, "ca", "revoke", ours[0]["serial"], "--reason", "keyCompromise").out
    assert revoked.count("revoked ") == 2
    assert type_at(operator, "ca", "revoke", "--id", "P-1").status == 4
    assert type_at(operator, "ca", "revoke").status == 2
    assert "keyCompromise" in type_at(operator, "ca", "list").out
    printed = x509.load_pem_x509_crl(type_at(operator, "ca", "crl").out.encode())
    type_at(operator, "ca", "crl", "--output", str(tmp_path / "list.crl"))
    written = x509.load_der_x509_crl((tmp_path / "list.crl").read_bytes())
    serials = {int(row["serial"], 16) for row in ours}
    assert serials <= {each.serial_number for each in printed}
    assert serials <= {each.serial_number for each in written}


def test_a_new_certificate_for_the_server(tmp_path: Path, type_at: Typist) -> None:
    """The key server's certificate is replaced under the same CA, also with the CA's key kept elsewhere."""
    (tmp_path / "operator").mkdir()
    (tmp_path / "safe").mkdir()
    operator = new_operator(tmp_path / "operator")
    state, safe = operator.folder / "keyserver", tmp_path / "safe"
    before = (state / "tls.pem").read_bytes()
    out = type_at(operator, "ca", "renew-server", "--host", "keys.example").out
    assert "has a new certificate for keys.example" in out
    assert (state / "tls.pem").read_bytes() != before
    (state / "ca.key").rename(safe / "ca.key")
    assert "--ca-key" in type_at(operator, "ca", "renew-server").complaint
    ca = ("--ca-cert", str(state / "ca.pem"), "--ca-key", str(safe / "ca.key"))
    again = json.loads(type_at(operator, "ca", "renew-server", *ca, "--json").out)
    assert again["hosts"][0] == "keys.example"
    assert type_at(operator, "ca", "renew-server", *ca[:2]).status == 2
    with operator.key_server():
        assert type_at(operator, "channel", "list").status == 0


def test_a_passphrase(operator: Terminal, type_at: Typist, tmp_path: Path) -> None:
    """A vault under a passphrase opens by a file that is named, and each way of not opening it is told."""
    viewer = Terminal(tmp_path)
    (tmp_path / "words").write_text(WORDS + "\n")
    (tmp_path / "words").chmod(0o600)
    (tmp_path / "other").write_text("something else\n")
    (tmp_path / "other").chmod(0o600)
    line = type_at(operator, "registry", "invite").out.split()[-1]
    said = {"SEALCAST_PASSPHRASE_FILE": "words"}
    no_terminal = viewer.run("enrol", line, "--passphrase")
    assert no_terminal.status == 2
    assert "needs a passphrase; name a file with it" in no_terminal.complaint
    assert type_at(viewer, "enrol", line, "--passphrase", **said).status == 0
    assert not (tmp_path / "sealcast.key").exists()
    assert WORDS not in (tmp_path / "sealcast.vault").read_text()
    assert "good; device" in type_at(viewer, "--passphrase-file", "words", "config", "check").out
    wrong = type_at(viewer, "--passphrase-file", "other", "config", "check")
    assert wrong.status == 2
    assert "does not open with this passphrase: it is wrong, or the file is damaged" in wrong.complaint
    none = viewer.run("config", "check")
    assert none.status == 2
    assert "is sealed under a passphrase; name a file with it" in none.complaint
    assert "something else" not in wrong.err
    (tmp_path / "words").chmod(0o644)
    assert "chmod 600" in type_at(viewer, "config", "check", **said).complaint
    (tmp_path / "words").rename(tmp_path / "sealcast-passphrase")
    systemd = type_at(viewer, "config", "check", CREDENTIALS_DIRECTORY=str(tmp_path))
    assert systemd.status == 0
    misplaced = type_at(viewer, "config", "check", "--passphrase-file", "words")
    assert "it stands before the command" in misplaced.complaint


@pytest.mark.parametrize(
    ("typed", "status"), [((WORDS, WORDS), 0), ((WORDS, "another one"), 2)], ids=["same", "not"]
)
def test_a_passphrase_on_a_terminal(
    operator: Terminal, tmp_path: Path, typed: tuple[str, str], status: int
) -> None:
    """On a terminal a new passphrase is asked for twice, unseen; if the two differ, nothing is made."""
    viewer = Terminal(tmp_path)
    line = operator.good("registry", "invite").split()[-1]
    command = ["setsid", "--ctty", sys.executable, "-m", "sealcast.cli", "enrol", line, "--passphrase"]
    keyboard, screen = pty.openpty()
    try:
        process = subprocess.Popen(
            command, cwd=tmp_path, env=viewer.environment, stdin=screen, stdout=screen, stderr=screen
        )
        os.close(screen)
        shown = ""
        for question, answer in zip(("New passphrase for sealcast.vault: ", "again: "), typed, strict=True):
            shown += read_until(keyboard, question)
            os.write(keyboard, answer.encode() + b"\n")
        shown += read_until(keyboard, None)
        assert process.wait(30) == status, shown
    finally:
        os.close(keyboard)
    assert WORDS not in shown
    assert (tmp_path / "sealcast.vault").exists() is (status == 0)
    assert ("the two passphrases differ; nothing was made" in shown) is (status == 2)


def read_until(terminal: int, text: str | None) -> str:
    """Return what a program shows, up to `text` or to its end."""
    shown = ""
    while text is None or text not in shown:
        try:
            chunk = os.read(terminal, 1024)
        except OSError:  # Linux says so when the last program on a terminal has ended.
            chunk = b""
        if not chunk:
            assert text is None, shown
            break
        shown += chunk.decode()
    return shown


def test_the_key_server_is_named_as_it_is_reached(operator: Terminal, type_at: Typist) -> None:
    """An invitation has the first of the addresses that the configuration tells of."""
    line = type_at(operator, "registry", "invite").out.split()[-1]
    assert line.startswith(key_server_url(operator) + "#")
    assert "only this machine reaches" in type_at(operator, "registry", "invite").err
    outside = {"SEALCAST_KEYSERVER_URLS": f"https://keys.example:1,{key_server_url(operator)}"}
    assert type_at(operator, "registry", "invite", **outside).err == ""
    other = {"SEALCAST_KEYSERVER_URLS": f"https://localhost:1,{key_server_url(operator)}"}
    assert type_at(operator, "registry", "invite", **other).out.split()[-1].startswith("https://localhost:1#")


@pytest.fixture(scope="module")
def device(operator: Terminal, tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """Return the terminal of a device that has enrolled, TV-0001."""
    terminal = Terminal(tmp_path_factory.mktemp("device"))
    line = operator.good("registry", "invite", "--id", "TV-0001").split()[-1]
    terminal.good("enrol", line)
    return terminal


def is_identified(device: Terminal) -> bool:
    """Whether the certificates in the device's vault say that its person is known."""
    credential = load_vault(device.folder / "sealcast.vault")
    assert credential.certificates is not None
    return read_party(credential.certificates, credential.ca_pem).is_identified


def test_identified_and_undone(operator: Terminal, device: Terminal, type_at: Typist) -> None:
    """The vault says so after `device renew`, and no longer after it was undone and renewed again."""
    assert not is_identified(device)
    empty = type_at(operator, "device", "identified", "--json")
    assert json.loads(empty.out) == {"devices": [], "next": None}
    done = type_at(operator, "device", "identify", "TV-0001", "--evidence", "contract 2041")
    assert done.out == "TV-0001 is identified; on its machine type: sealcast device renew\n"
    assert type_at(operator, "device", "identified").out.split()[-1] == "no"
    renewed = type_at(device, "device", "renew")
    assert renewed.out == "TV-0001 has new certificates; they say that its person is known\n"
    assert is_identified(device)
    row = type_at(operator, "device", "identified").out.splitlines()[1].split()
    assert (row[0], row[1:3], row[-1]) == ("TV-0001", ["contract", "2041"], "yes")
    undone = type_at(operator, "device", "identify", "TV-0001", "--undo")
    assert undone.out == "TV-0001 is identified no more; its certificates that say so are revoked\n"
    answer = json.loads(type_at(device, "device", "renew", "--json").out)
    assert (answer["id"], answer["identified"]) == ("TV-0001", False)
    assert not is_identified(device)


def test_what_does_not_fit_is_said(operator: Terminal, type_at: Typist, tmp_path: Path) -> None:
    """Neither or both options, nobody, and a device without certificates: each is refused with a reason."""
    for options in ((), ("--undo", "--evidence", "x")):
        wrong = type_at(operator, "device", "identify", "TV-0001", *options)
        assert (wrong.status, "either --evidence" in wrong.complaint) == (2, True)
    nobody = type_at(operator, "device", "identify", "nobody", "--evidence", "x")
    assert (nobody.status, nobody.complaint) == (4, "no device 'nobody' is registered")
    vault = tmp_path / "old.vault"
    type_at(operator, "registry", "add", "old", "--output", str(vault))
    assert "has no certificate" in type_at(operator, "device", "identify", "old", "--evidence", "x").complaint
    assert "has no certificate" in type_at(operator, "device", "renew", "--credential", str(vault)).complaint


def test_a_seller_enrols(operator: Terminal, type_at: Typist, tmp_path: Path) -> None:
    """A seller comes by an invitation, and is certified; registered without certificates it is refused."""
    shop = Terminal(tmp_path)
    line = type_at(operator, "registry", "invite", "--role", "seller", "--id", "shop").out.split()[-1]
    out = type_at(shop, "enrol", line).out
    assert out.startswith("seller shop is enrolled with Test TV; its vault is ")
    assert out.splitlines()[1] == f"its commands take it by --credential {tmp_path}/sealcast.vault"
    credential = load_vault(tmp_path / "sealcast.vault")
    assert credential.certificates is not None
    assert read_party(credential.certificates, credential.ca_pem).role == "seller"
    vault = tmp_path / "bare.vault"
    bare = type_at(operator, "registry", "add", "bare", "--role", "seller", "--output", str(vault))
    assert (bare.status, "invite it" in bare.complaint, vault.exists()) == (4, True, False)
