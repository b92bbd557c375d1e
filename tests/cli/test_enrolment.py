"""Shows how machines come to belong to an operator, command by command, and who is turned away and why."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from cli.terminal import Result, Terminal, Typist, free_port, key_server_url
from sealcast.client.enrolment import enrol, meet_operator, new_credential
from sealcast.device.newkeys import KeyKind
from sealcast.device.vault import load_vault, new_vault
from sealcast.messages.enrolment import read_invitation
from sealcast.transport.system import SystemRandom

ANOTHER = "A" * 43
"""The fingerprint of no CA."""


@pytest.fixture
def viewer(tmp_path: Path) -> Terminal:
    """Return a terminal on a machine that has nothing but the program."""
    return Terminal(tmp_path)


@pytest.fixture(scope="module")
def site(operator: Terminal) -> Terminal:
    """Return the operator's terminal; there is a channel."""
    operator.good("channel", "add", "news", "--group", "239.255.8.1:5004")
    return operator


def invited(type_at: Typist, site: Terminal, *options: str) -> str:
    """Return the line of a fresh invitation to the channel."""
    printed = type_at(site, "registry", "invite", "--channel", "news", *options).out
    assert printed.startswith("sealcast enrol https://")
    assert printed.count("\n") == 1
    return printed.split()[-1]


def listed(type_at: Typist, site: Terminal) -> dict[str, tuple[str, str]]:
    """Return role and kind of keys of everybody who is registered."""
    entries = json.loads(type_at(site, "registry", "list", "--json").out)["entries"]
    return {each["id"]: (each["role"], each["kind"]) for each in entries}


def turned_away(result: Result, viewer: Terminal, status: int) -> str:
    """Return why nobody was enrolled: one line, its status, and nothing left on the newcomer's machine."""
    assert result.status == status, result.err
    assert not list(viewer.folder.iterdir())
    return result.complaint


@pytest.mark.parametrize("keys", ["ed25519", "p256", "rsa"])
def test_certified_keys(site: Terminal, viewer: Terminal, type_at: Typist, keys: str) -> None:
    """A device makes key pairs, gets certificates for them, and its configuration names the vault."""
    out = type_at(viewer, "enrol", invited(type_at, site), "--id", f"C-{keys}", "--keys", keys).out
    vault = viewer.folder / "sealcast.vault"
    assert out.splitlines() == [
        f"device C-{keys} is enrolled with Test TV; its vault is {vault}",
        f"configuration {viewer.folder}/sealcast.toml is new and names it under [receiver]",
        "it may receive news; next:",
        "  sealcast receive news --output - | ffplay -",
    ]
    assert listed(type_at, site)[f"C-{keys}"] == ("device", "certificate")
    assert load_vault(vault).certificates is not None
    assert f"device C-{keys}" in type_at(viewer, "config", "check").out
    assert f"C-{keys}" in type_at(site, "subscriber", "list", "news").out


def test_secrets_sent_sealed(site: Terminal, viewer: Terminal, type_at: Typist) -> None:
    """A device makes symmetric secrets and sends them sealed to the key server; there is no certificate."""
    line = invited(type_at, site, "--id", "S-1")
    result = type_at(viewer, "enrol", line, "--keys", "symmetric", "--json")
    told = json.loads(result.out)
    assert told == {
        "id": "S-1",
        "role": "device",
        "operator": "Test TV",
        "vault": str(viewer.folder / "sealcast.vault"),
        "channels": ["news"],
        "configured": True,
        "certified": False,
    }
    assert listed(type_at, site)["S-1"] == ("device", "symmetric")


def test_secrets_known_beforehand(site: Terminal, viewer: Terminal, type_at: Typist) -> None:
    """The operator makes a device's secrets itself, and the two files are carried to the device."""
    out = type_at(site, "registry", "add", "K-1", "--channel", "news", "--output", "K-1.vault").out
    assert out == "device K-1 is registered; its vault is K-1.vault, the key to it K-1.key\n"
    for name in ("K-1.vault", "K-1.key"):
        (site.folder / name).rename(viewer.folder / name)
    checked = type_at(viewer, "config", "check", SEALCAST_RECEIVER_CREDENTIAL="K-1.vault", SEALCAST_CONFIG="")
    assert "good; device K-1" in checked.out
    assert "K-1" in type_at(site, "subscriber", "list", "news").out


def test_a_sender_by_invitation(site: Terminal, viewer: Terminal, type_at: Typist) -> None:
    """An invitation for a sender makes one that may send on the channel, known under [sender]."""
    line = invited(type_at, site, "--role", "sender", "--id", "east")
    out = type_at(viewer, "enrol", line).out
    assert "sender east is enrolled with Test TV" in out
    assert "under [sender]" in out
    assert "it may send on news" in out
    assert type_at(site, "channel", "senders", "news").out == "news: east\n"


def test_stolen_invitation_used_twice(
    site: Terminal, viewer: Terminal, type_at: Typist, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whoever comes second with the same line is told so; the list shows who came first."""
    thief = Terminal(tmp_path_factory.mktemp("thief"))
    line = invited(type_at, site)
    stolen = json.loads(type_at(thief, "enrol", line, "--json").out)
    why = turned_away(type_at(viewer, "enrol", line), viewer, 4)
    assert why == "this invitation was used before; ask for another"
    rows = json.loads(type_at(site, "registry", "invitations", "--json").out)["invitations"]
    assert ("used", stolen["id"]) in {(row["state"], row.get("used_by")) for row in rows}


def test_an_expired_invitation(site: Terminal, viewer: Terminal, type_at: Typist) -> None:
    """An invitation that was not used in time lets nobody in."""
    line = invited(type_at, site, "--expires", "1s")

    async def wait() -> None:
        await asyncio.sleep(1.5)

    asyncio.run(wait())
    why = turned_away(type_at(viewer, "enrol", line), viewer, 4)
    assert why == "the invitation was not used in time; ask for another"
    assert "expired" in type_at(site, "registry", "invitations").out


def test_the_wrong_fingerprint(site: Terminal, viewer: Terminal, type_at: Typist) -> None:
    """A server under another CA than the invitation names is sent nothing: the invitation stays good."""
    line = invited(type_at, site)
    wrong = line.rpartition(".")[0] + "." + ANOTHER
    why = turned_away(type_at(viewer, "enrol", wrong), viewer, 3)
    assert "is under another CA than the invitation names" in why
    assert "nothing was sent" in why
    assert type_at(viewer, "enrol", line).status == 0


def test_an_invitation_that_never_was(site: Terminal, viewer: Terminal, type_at: Typist) -> None:
    """A token that nobody gave, and one that was withdrawn, are refused alike."""
    line = invited(type_at, site)
    number = json.loads(type_at(site, "registry", "invitations", "--json").out)["invitations"][0]["number"]
    cancelled = type_at(site, "registry", "invitations", "--cancel", str(number))
    assert cancelled.out == f"invitation {number} is withdrawn\n"
    server, _, rest = line.partition("#")
    never = f"{server}#{'A' * 22}.{rest.partition('.')[2]}"
    for each in (line, never):
        why = turned_away(type_at(viewer, "enrol", each), viewer, 4)
        assert why == "there is no such invitation, or it was withdrawn; ask for another"
    again = type_at(site, "registry", "invitations", "--cancel", str(number))
    assert again.status == 4


def test_nobody_answers(site: Terminal, viewer: Terminal, type_at: Typist) -> None:
    """Where no server answers, that is said, with the status of an unreachable server."""
    line = invited(type_at, site)
    elsewhere = line.replace(key_server_url(site), f"https://127.0.0.1:{free_port()}")
    assert "is it running?" in turned_away(type_at(viewer, "enrol", elsewhere), viewer, 3)


@pytest.mark.parametrize("cut", [0, 10, 30, 60, -1])
def test_half_a_line(site: Terminal, viewer: Terminal, type_at: Typist, cut: int) -> None:
    """A line that was not copied whole is a usage error; nobody is asked."""
    line = f"{key_server_url(site)}#{'A' * 22}.{ANOTHER}"
    assert "copy the whole line" in turned_away(type_at(viewer, "enrol", line[:cut]), viewer, 2)


def test_names(site: Terminal, viewer: Terminal, type_at: Typist) -> None:
    """The invitation's name stands: another is refused, and so is a name that somebody has."""
    line = invited(type_at, site, "--id", "N-1")
    why = turned_away(type_at(viewer, "enrol", line, "--id", "N-2"), viewer, 4)
    assert why == "this invitation is for N-1; leave the id out"
    other = Terminal(viewer.folder / "other")
    other.folder.mkdir()
    # The whole of what `registry invite` prints, in quotes, does as well.
    assert "device N-1 is enrolled" in type_at(other, "enrol", f"sealcast enrol {line}").out
    shutil.rmtree(other.folder)
    line = invited(type_at, site)
    assert "N-1" in turned_away(type_at(viewer, "enrol", line, "--id", "N-1"), viewer, 4)


def test_an_answer_that_was_lost(site: Terminal, viewer: Terminal, type_at: Typist) -> None:
    """A newcomer that the server knows already, but that never had its answer, types the command again."""
    line = invited(type_at, site)
    invitation, random = read_invitation(line), SystemRandom()
    vault = viewer.folder / "sealcast.vault"

    async def lose_the_answer() -> str:
        newcomer = new_credential(await meet_operator(invitation), invitation, KeyKind.ED25519, random)
        new_vault(vault, newcomer, random)
        party, _ = await enrol(newcomer, invitation, None, random)
        return party.id

    known_as = asyncio.run(lose_the_answer())
    waiting = type_at(
        viewer, "receive", "news", "--output", "x", "--credential", str(vault), SEALCAST_CONFIG=""
    )
    assert "waits for the end of an enrolment: type the command sealcast enrol again" in waiting.complaint
    assert f"device {known_as} is enrolled" in type_at(viewer, "enrol", line).out
    assert load_vault(vault).id == known_as
    again = type_at(viewer, "enrol", line)
    assert again.status == 2
    assert f"is the vault of device {known_as} of Test TV and is never overwritten" in again.complaint


def test_removed_and_let_in_again(site: Terminal, viewer: Terminal, type_at: Typist) -> None:
    """A removed device is nobody, loses its subscription, and may come again under its old name."""
    assert type_at(viewer, "enrol", invited(type_at, site, "--id", "R-1")).status == 0
    assert type_at(site, "registry", "remove", "R-1").out == "R-1 is removed\n"
    assert "R-1" not in listed(type_at, site)
    assert "R-1" not in type_at(site, "subscriber", "list", "news").out
    gone = type_at(viewer, "receive", "news", "--output", "x", "--interface", "lo")
    assert gone.status == 4
    line = invited(type_at, site, "--id", "R-1")
    assert type_at(viewer, "enrol", line, "--output", "second.vault").status == 0
    assert listed(type_at, site)["R-1"] == ("device", "certificate")
    assert type_at(site, "registry", "remove", "nobody").status == 4


def test_a_configuration_of_ones_own_is_left_alone(site: Terminal, viewer: Terminal, type_at: Typist) -> None:
    """A file that the user wrote is not changed: the line to add is printed instead."""
    own = viewer.folder / "sealcast.toml"
    own.write_text("[logging]\nlevel = 'error'\n")
    out = type_at(viewer, "enrol", invited(type_at, site)).out
    line = f'to use it without --credential, add under [receiver] in {own}: credential = "sealcast.vault"'
    assert line in out
    assert f"receive news --credential {viewer.folder}/sealcast.vault --output -" in out
    assert own.read_text() == "[logging]\nlevel = 'error'\n"


def test_one_machine_for_everything(site: Terminal, type_at: Typist) -> None:
    """On the operator's own machine the section is added to the file that init made."""
    before = (site.folder / "sealcast.toml").read_text()
    out = type_at(site, "enrol", invited(type_at, site)).out
    assert f"configuration {site.folder}/sealcast.toml names it now under [receiver]" in out
    after = (site.folder / "sealcast.toml").read_text()
    assert after == before + '\n[receiver]\ncredential = "sealcast.vault"\n'
    assert "good; operator Test TV" in type_at(site, "config", "check").out
