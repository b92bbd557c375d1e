"""Shows how an operator says whose person it knows, and how the device gets that certified."""

import json
from pathlib import Path

import pytest

from cli.terminal import Terminal, Typist
from sealcast.device.chains import read_party
from sealcast.device.vault import load_vault


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
    credential = load_vault(tmp_path / "sealcast.vault")
    assert credential.certificates is not None
    assert read_party(credential.certificates, credential.ca_pem).role == "seller"
    vault = tmp_path / "bare.vault"
    bare = type_at(operator, "registry", "add", "bare", "--role", "seller", "--output", str(vault))
    assert (bare.status, "invite it" in bare.complaint, vault.exists()) == (4, True, False)
