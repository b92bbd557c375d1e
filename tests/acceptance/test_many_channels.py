"""Many channels in one process, as real programs: two of twenty fail, and the others never notice."""

import asyncio
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance.stations import Running, eventually
from cli.terminal import Terminal, new_operator
from sealcast.client import KeyServerClient
from sealcast.device.vault import load_vault
from sealcast.messages import operations
from sealcast.messages.answers import ChannelList
from sealcast.messages.channels import ChannelData
from sealcast.testing import SimRandom
from sealcast.transport.system import SystemRandom

CHANNELS = [f"c{number:02}" for number in range(20)]
GOOD, ABSENT, DAMAGED = CHANNELS[:18], CHANNELS[18], CHANNELS[19]
RATE, SECONDS = 800_000, 4
LIFETIME_MS = 2_000
"""The key changes on the way."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """Return a terminal where a key server runs that knows twenty channels, a studio and a gateway."""
    folder = tmp_path_factory.mktemp("many")
    terminal = new_operator(folder)
    terminal.environment |= {"SEALCAST_LOGGING_LEVEL": "info", "SEALCAST_LOGGING_FORMAT": "json"}
    with terminal.key_server():
        asyncio.run(add_channels(folder))
        of_all = [word for name in CHANNELS for word in ("--channel", name)]
        terminal.good("registry", "add", "studio", "--role", "sender", *of_all, "--output", "studio.vault")
        terminal.good("registry", "add", "gateway", *of_all, "--output", "gateway.vault")
        yield terminal


async def add_channels(folder: Path) -> None:
    """Add the channels as the operator."""
    async with KeyServerClient(load_vault(folder / "operator.vault"), SystemRandom()) as client:
        for number, name in enumerate(CHANNELS):
            data = ChannelData(
                name=name,
                group=f"239.255.66.{number + 1}",
                port=5004,
                interface="lo",
                lifetime_ms=LIFETIME_MS,
            )
            await client.expect(operations.CHANNEL_ADD, ChannelList, channel=data, senders=[])


def write_configurations(folder: Path, card: Path) -> None:
    """Write inputs and two configurations: one channel has no input, another's breaks off in the middle."""
    sending = ['[sender]\ncredential = "studio.vault"\n']
    receiving = ['[receiver]\ncredential = "gateway.vault"\ninterface = "lo"\n']
    for name in GOOD:
        (folder / f"{name}.in").write_bytes(SimRandom(name).bytes(RATE // 8 * SECONDS))
        sending.append(f'[[send]]\nchannel = "{name}"\ninput = "{name}.in"\nrate = "{RATE}"\n')
    sending.append(f'[[send]]\nchannel = "{ABSENT}"\ninput = "nowhere.ts"\n')
    clip = bytearray(card.read_bytes()[: 188 * 10_000])
    clip[188 * 6_000] = 0
    (folder / "damaged.ts").write_bytes(clip)
    sending.append(f'[[send]]\nchannel = "{DAMAGED}"\ninput = "damaged.ts"\nrestart = "never"\n')
    receiving += [
        f'[[receive]]\nchannel = "{name}"\noutput = "{name}.out"\nrestart = "never"\n' for name in CHANNELS
    ]
    (folder / "sending.toml").write_text("\n".join(sending))
    (folder / "receiving.toml").write_text("\n".join(receiving))


def by_channel(summary: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return what a summary says of each channel."""
    return {each["channel"]: each for each in summary["channels"]}


def end(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """End a program, and return its summary."""
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    return dict(json.loads(out))


def test_two_channels_of_twenty_fail(site: Terminal, card: Path) -> None:
    """What the other eighteen send arrives byte for byte, over key changes; the two are told and counted."""
    folder = site.folder
    write_configurations(folder, card)
    receive = ("receive", "--config", "receiving.toml", "--json")
    send = ("send", "--config", "sending.toml", "--json")
    logs = {"stderr": folder / "receive.log"}
    with site.running(*receive, **logs) as receiving:
        eventually(lambda: (folder / "receive.log").read_text().count('"joined"') == len(CHANNELS))
        with site.running(*send) as sending:
            log = Running(sending)
            ended = set()
            while len(ended) < len(GOOD):
                ended.add(log.wait_for("ended")["channel"])
            assert ended == set(GOOD)
            eventually(lambda: (folder / "receive.log").read_text().count('"ended"') == len(CHANNELS) - 1)
            sent = end(sending)
        received = end(receiving)
    for name in GOOD:
        assert (folder / f"{name}.out").read_bytes() == (folder / f"{name}.in").read_bytes(), name
    there, here = by_channel(sent), by_channel(received)
    assert {there[name]["state"] for name in GOOD} == {here[name]["state"] for name in GOOD} == {"ended"}
    assert min(there[name]["status"]["key_changes"] for name in GOOD) >= 1
    assert (there[ABSENT]["state"], there[ABSENT]["packets"]) == ("ended", 0)
    assert there[ABSENT]["failures"] == there[ABSENT]["starts"] >= 2
    assert "nowhere.ts: No such file" in there[ABSENT]["last_failure"]
    assert (there[DAMAGED]["state"], there[DAMAGED]["starts"]) == ("failed", 1)
    assert "damaged at byte" in there[DAMAGED]["last_failure"]
    assert (folder / "damaged.ts").read_bytes().startswith((folder / f"{DAMAGED}.out").read_bytes())
    assert 0 < sent["on_time_share"] <= 1
    assert sent["late_ms_max"] >= 0
    assert sent["packets"] == sum(each["packets"] for each in sent["channels"])
