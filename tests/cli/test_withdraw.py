"""Shows withdrawal by command: one channel, then the last; cut off; and what is said afterwards."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.terminal import Result, Terminal, Typist
from cli.test_transcripts import LO, wait_for_log
from sealcast.client import KeyServerClient
from sealcast.client.withdrawal import Withdrawing
from sealcast.device.holder import keys_of
from sealcast.device.outbox import Outbox
from sealcast.device.vault import open_vault
from sealcast.transport.system import SystemRandom

INFO = {"SEALCAST_LOGGING_LEVEL": "info"}
Type = Callable[..., Result]


@pytest.fixture
def type_(operator: Terminal, type_at: Typist) -> Type:
    """Return a function that types a command at the operator's terminal."""

    def typed(*arguments: str) -> Result:
        return type_at(operator, *arguments)

    return typed


@pytest.fixture(scope="module")
def channels(operator: Terminal) -> tuple[str, str]:
    """Return two channels."""
    for name, group in (("news", "239.255.9.1:5004"), ("sport", "239.255.9.2:5004")):
        operator.good("channel", "add", name, "--group", group)
    return "news", "sport"


def new_device(type_: Type, name: str, *channels: str) -> str:
    """Register a device that may receive channels, and return its vault."""
    more = [part for channel in channels for part in ("--channel", channel)]
    made = type_("registry", "add", name, "--output", f"{name}.vault", *more)
    assert made.status == 0, made.err
    return f"{name}.vault"


def test_one_channel_then_the_last(operator: Terminal, type_: Type, channels: tuple[str, str]) -> None:
    """The receiver of the one ends, the other goes on; with the last the vault opens nothing any more."""
    vault = new_device(type_, "tv-1", *channels)
    log = operator.folder / "tv-1.log"
    command = ("receive", "news", "--output", "-", "--credential", vault, *LO)
    with operator.running(*command, **INFO, stdout=Path("/dev/null"), stderr=log) as receiver:
        wait_for_log(log, "joined")
        gone = type_("withdraw", "news", "--credential", vault)
        assert gone.status == 0, gone.err
        assert receiver.wait(10) == 0
    first, last = gone.out.splitlines()
    assert first.startswith("tv-1 has withdrawn from news at 20")
    assert first.endswith("; keys on record as destroyed: 0")
    receipt = Path(last.partition(": ")[2])
    assert last.startswith("receipt 2 of Test TV: "), "it asked again once the receiver had ended"
    assert receipt.read_bytes().count(b".") == 2
    listed = json.loads(type_("subscriber", "list", "--json").out)["subscribers"]
    assert [row["channel"] for row in listed if row["device"] == "tv-1"] == ["sport"]
    again = type_("withdraw", "news", "--credential", vault)
    assert (again.status, again.complaint) == (4, "tv-1 is not subscribed to news")
    over = json.loads(type_("withdraw", "sport", "--credential", vault, "--json").out)["withdrawn"]
    assert [(each["channels"], each["keys_destroyed"]) for each in over] == [(["sport"], True)]
    for words in (
        ["receive", "sport", "--output", "-"],
        ["subscribe", "sport", "--user", "me"],
        ["stop", "sport"],
    ):
        refused = type_(*words, "--credential", vault)
        assert refused.status == 2
        assert "has withdrawn from" in refused.complaint
        assert "enrol with a new invitation" in refused.complaint
    said = type_("withdraw", "--all", "--yes", "--credential", vault)
    assert (said.status, said.out.splitlines()[-1]) == (0, f"receipt 3 of Test TV: {over[0]['receipt']}")


def test_all_channels_are_asked_for_twice(type_: Type, channels: tuple[str, str]) -> None:
    """Off a terminal --all says what it does and wants --yes; nothing has happened until then."""
    vault = new_device(type_, "tv-2", *channels)
    for words in ([], ["news", "--all"], ["*"]):
        assert type_("withdraw", *words, "--credential", vault).status == 2
    refused = type_("withdraw", "--all", "--credential", vault)
    assert refused.status == 2
    assert "destroys this device's keys for good; say --yes" in refused.complaint
    done = type_("withdraw", "--all", "--yes", "--credential", vault)
    assert done.status == 0, done.err
    assert done.out.startswith("tv-2 has withdrawn from news, sport at ")
    assert "the device's own keys are destroyed" in done.out


def test_the_key_server_is_away(operator: Terminal, type_: Type, channels: tuple[str, str]) -> None:
    """What cannot be sent is kept: no receiver begins any more, and the same command gets the receipt."""
    vault = new_device(type_, "tv-3", *channels)
    assert type_("withdraw", "nowhere", "--credential", vault).status == 4
    waiting = put_into_the_outbox(operator, vault)
    refused = type_("receive", "news", "--output", "-", "--credential", vault, *LO)
    assert refused.status == 2
    assert "tv-3 is withdrawing from news" in refused.complaint
    done = json.loads(type_("withdraw", "news", "--credential", vault, "--json").out)["withdrawn"]
    assert [each["channels"] for each in done] == [["news"]]
    assert not waiting.exists()


def put_into_the_outbox(operator: Terminal, vault: str) -> Path:
    """Leave behind what a withdrawal leaves that was cut off before it could send."""
    opened = open_vault(operator.folder / vault)
    (folder,) = operator.folder.rglob("withdrawals")

    async def story() -> None:
        with Outbox(folder, opened.credential) as outbox:
            withdrawing = Withdrawing(opened, keys_of(opened.credential), outbox)
            async with KeyServerClient(opened.credential, SystemRandom()) as client:
                withdrawing.state(await withdrawing.ask("news", client))

    asyncio.run(story())
    (path,) = folder.glob("*.json")
    return path
