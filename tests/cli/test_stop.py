"""Shows how a reception ends by command: with the receivers that run here, or after one was killed."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.terminal import Result, Terminal, Typist
from cli.test_transcripts import LO, wait_for_log

INFO = {"SEALCAST_LOGGING_LEVEL": "info"}
NOWHERE = Path("/dev/null")

Type = Callable[..., Result]


@pytest.fixture
def type_(operator: Terminal, type_at: Typist) -> Type:
    """Return a function that types a command at the operator's terminal."""

    def typed(*arguments: str) -> Result:
        return type_at(operator, *arguments)

    return typed


def add_channel(type_: Type, name: str, group: str) -> str:
    """Add a channel with one device that may receive it; return the device's vault."""
    assert type_("channel", "add", name, "--group", group).status == 0
    made = type_("registry", "add", f"{name}-tv", "--output", f"{name}.vault", "--channel", name)
    assert made.status == 0, made.err
    return f"{name}.vault"


def receiving(channel: str, vault: str) -> tuple[str, ...]:
    """Return the command of a receiver."""
    return ("receive", channel, "--output", "-", "--credential", vault, *LO, "--json")


def stopped(type_: Type, channel: str, vault: str) -> str:
    """Type `stop`, which has to end well, and return what it printed."""
    result = type_("stop", channel, "--credential", vault)
    assert result.status == 0, result.err
    return result.out


def test_stop_ends_the_receivers_that_run_here(operator: Terminal, type_: Type) -> None:
    """Every local receiver of the channel ends well, by name or number, and its stop is acknowledged."""
    vault = add_channel(type_, "p1", "239.255.8.1:5004")
    shown = json.loads(type_("channel", "show", "p1", "--json").out)
    number = str(shown["channel"]["number"])
    logs = [operator.folder / f"p1.{each}.log" for each in range(2)]
    with (
        operator.running(*receiving("p1", vault), **INFO, stdout=NOWHERE, stderr=logs[0]) as first,
        operator.running(*receiving(number, vault), **INFO, stdout=NOWHERE, stderr=logs[1]) as second,
    ):
        for log in logs:
            wait_for_log(log, "joined")
        out = stopped(type_, "p1", vault)
        assert first.wait(10) == second.wait(10) == 0
    assert sorted(out.splitlines()) == sorted(
        f"the receiver of p1 in process {process.pid} has ended" for process in (first, second)
    )
    ends = [json.loads(log.read_text().splitlines()[-1]) for log in logs]
    assert [end["ended_by"] for end in ends] == ["stopped", "stopped"]
    receptions = [end["reception"] for end in ends]
    assert all(reception["acknowledged"] for reception in receptions)
    assert len({reception["number"] for reception in receptions}) == 1, "a device has one of a channel"
    assert all(reception["by"] and reception["since"] <= reception["until"] for reception in receptions)


def test_stop_after_a_receiver_was_killed(operator: Terminal, type_: Type) -> None:
    """Killed with -9, a receiver says nothing: `stop` tells the key server in its place."""
    vault = add_channel(type_, "p2", "239.255.8.2:5004")
    assert stopped(type_, "p2", vault) == "no reception of p2 is live\n"
    log = operator.folder / "p2.log"
    with operator.running(*receiving("p2", vault), **INFO, stdout=NOWHERE, stderr=log) as receiver:
        wait_for_log(log, "joined")
        receiver.send_signal(signal.SIGKILL)
        receiver.wait(10)
    said = json.loads(type_("stop", "p2", "--credential", vault, "--json").out)
    number = said["reception"]["number"]
    assert (said["receivers"], said["reception"]["channel"]) == ([], "p2")
    assert stopped(type_, "p2", vault).startswith(f"reception {number} of p2 has ended: from ")
    assert not list((operator.folder / "receiving" / "receivers").glob("p2*"))


def test_stop_of_what_is_not_there(type_: Type) -> None:
    """An unknown channel and a vault of another role are refused in one line."""
    vault = add_channel(type_, "p3", "239.255.8.3:5004")
    assert type_("stop", "nowhere", "--credential", vault).status == 4
    wrong = type_("stop", "p3", "--credential", "operator.vault")
    assert wrong.status == 2
    assert "takes a device's" in wrong.complaint


def test_one_channel_of_many_is_stopped_alone(operator: Terminal, type_: Type) -> None:
    """In a process that receives many channels, `stop` ends the one and leaves the others."""
    one = add_channel(type_, "p5", "239.255.8.5:5004")
    two = add_channel(type_, "p6", "239.255.8.6:5004")
    (operator.folder / "many.toml").write_text(
        f'[[receive]]\nchannel = "p5"\noutput = "p5.ts"\ncredential = "{one}"\n'
        f'[[receive]]\nchannel = "p6"\noutput = "p6.ts"\ncredential = "{two}"\n'
    )
    (operator.folder / "many.toml").chmod(0o600)
    log = operator.folder / "many.log"
    command = ("receive", "--config", "many.toml", *LO, "--json")
    with operator.running(*command, **INFO, stderr=log) as process:
        wait_for_log(log, "joined")
        assert stopped(type_, "p5", one) == f"the receiver of p5 in process {process.pid} has ended\n"
        assert process.poll() is None
        stopped(type_, "p6", two)
        assert process.wait(10) == 0, "the last channel takes the program with it"
        assert process.stdout is not None
        channels = json.loads(process.stdout.read())["channels"]
    assert [channel["state"] for channel in channels] == ["ended", "ended"]
    assert [channel["ended_by"] for channel in channels] == ["stopped", "stopped"]
    assert all(channel["status"]["reception"]["acknowledged"] for channel in channels)
