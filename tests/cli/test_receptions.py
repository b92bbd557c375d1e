"""Shows `sealcast receptions`: who receives what, what is over and why, page by page and again and again."""

import asyncio
import json
import signal
from pathlib import Path

from cli.terminal import Terminal, Typist
from sealcast.cli.reception_table import cells
from sealcast.client import KeyServerClient
from sealcast.device.vault import load_vault
from sealcast.messages import operations
from sealcast.messages.operation import Operation
from sealcast.messages.subscribing import ReceptionRow
from sealcast.transport.system import SystemRandom


def ask(vault: Path, operation: Operation, channel: str) -> None:
    """Ask the key server as a device."""

    async def once() -> None:
        async with KeyServerClient(load_vault(vault), SystemRandom()) as client:
            await client.call(operation, channel=channel)

    asyncio.run(once())


def test_live_history_and_watch(operator: Terminal, type_at: Typist) -> None:
    """The table has who receives; --history also who did, and why; --watch goes on until a signal."""
    type_at(operator, "channel", "add", "live", "--group", "239.255.8.1:5004")
    for name in ("V-1", "V-2", "V-3"):
        type_at(operator, "registry", "add", name, "--channel", "live", "--output", f"{name}.vault")
        ask(operator.folder / f"{name}.vault", operations.KEYS, "live")
    ask(operator.folder / "V-3.vault", operations.STOP, "live")
    shown = type_at(operator, "receptions").out
    assert [line.split()[2] for line in shown.splitlines()[1:3]] == ["V-2", "V-1"]
    assert "V-3" not in shown
    assert shown.splitlines()[-1] == "2 live"
    over = type_at(operator, "receptions", "live", "--device", "V-3", "--history").out
    assert "stopped" in over
    assert "V-1" not in over
    answer = json.loads(type_at(operator, "receptions", "--history", "--limit", "2", "--json").out)
    assert [row["device"] for row in answer["receptions"]] == ["V-3", "V-2"]
    assert (answer["live"], answer["more"]) == (2, True)
    unknown = type_at(operator, "receptions", "nowhere")
    assert (unknown.status, "nowhere" in unknown.complaint) == (4, True)
    with operator.running(
        "receptions", "--watch", "--json", stderr=operator.folder / "watch.log"
    ) as watching:
        assert watching.stdout is not None
        assert [json.loads(watching.stdout.readline())["live"] for _ in range(2)] == [2, 2]
        watching.send_signal(signal.SIGTERM)
        assert watching.wait(10) == 0


def test_init_reception(operator: Terminal, type_at: Typist) -> None:
    """A manager's state is made once, from a key server's; mistakes change nothing."""
    made = type_at(operator, "init", "reception", "rm", "--from", "keyserver", "--port", "9445")
    assert "sealcast serve reception --state rm --listen 127.0.0.1:9445" in made.out
    assert 'reception = ["https://127.0.0.1:9445"]' in made.out
    assert not (operator.folder / "rm" / "ca.key").exists()
    again = type_at(operator, "init", "reception", "rm", "--from", "keyserver")
    assert (again.status, "never overwritten" in again.complaint) == (2, True)
    mixed = type_at(operator, "init", "reception", "rm2", "--from", "rm")
    assert (mixed.status, "sealcast serve reception" in mixed.complaint) == (2, True)
    assert not (operator.folder / "rm2").exists()
    wrong = type_at(operator, "serve", "reception", "--state", "keyserver", "--listen", "127.0.0.1:9446")
    assert (wrong.status, "serve keyserver" in wrong.complaint) == (2, True)


def test_row_without_keys() -> None:
    """A reception of a channel that is not on air has no epochs."""
    row = ReceptionRow(
        number=1,
        channel="live",
        device="V-1",
        since="a",
        seen="b",
        first_epoch=None,
        last_epoch=None,
        packets=0,
    )
    assert cells(row, history=False) == ("1", "live", "V-1", "a", "b", "-", "0")
    assert cells(row, history=True)[-2:] == ("-", "-")
