"""Streams without key ID, as real programs: keys and patterns change, and the sender is asked."""

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance.stations import eventually
from cli.terminal import Terminal, free_port, new_operator
from sealcast.client import KeyServerClient
from sealcast.device.vault import load_vault
from sealcast.messages import operations
from sealcast.messages.answers import ChannelList
from sealcast.messages.channels import ChannelData
from sealcast.transport.system import SystemRandom
from transport.namespaces import enter_namespace

OPEN_PORT, DARK_PORT = 5004, 5104
"""Control packets to the port behind the second are thrown away on their way in."""

LIFETIME_MS, SECONDS = 2_000, 8
PATTERNS = "inverted;128;300ms"
CHANNELS = {
    "sealed": ("aes-128-gcm", "rtp", OPEN_PORT),
    "sealed-dark": ("aes-128-gcm", "rtp", DARK_PORT),
    "chained-dark": ("aes-256-gcm", "rtp", DARK_PORT),
    "plain": ("scramble", "udp", OPEN_PORT),
    "plain-dark": ("scramble", "udp", DARK_PORT),
    "rtp-dark": ("scramble", "rtp", DARK_PORT),
}
DARK = [name for name in CHANNELS if name.endswith("dark")]

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """Return a terminal in a network of its own, where a key server runs that knows the channels."""
    folder = tmp_path_factory.mktemp("keyless")
    with enter_namespace():
        rules = "add table inet t; add chain inet t i { type filter hook input priority 0; };"
        rules += f" add rule inet t i udp dport {DARK_PORT + 1} drop"
        subprocess.run(["nft", rules], check=True, timeout=10)
        terminal = new_operator(folder)
        terminal.environment |= {"SEALCAST_LOGGING_LEVEL": "info", "SEALCAST_LOGGING_FORMAT": "json"}
        with terminal.key_server():
            asyncio.run(add_channels(folder))
            of_all = [word for name in CHANNELS for word in ("--channel", name)]
            sending = ("--role", "sender", *of_all)
            terminal.good("registry", "add", "studio", *sending, "--output", "studio.vault")
            terminal.good("registry", "add", "gateway", *of_all, "--output", "gateway.vault")
            yield terminal


async def add_channels(folder: Path) -> None:
    """Add the channels as the operator."""
    async with KeyServerClient(load_vault(folder / "operator.vault"), SystemRandom()) as client:
        for number, (name, (suite, framing, port)) in enumerate(CHANNELS.items()):
            data = ChannelData(
                name=name,
                group=f"239.255.55.{number + 1}",
                port=port,
                interface="lo",
                suite=suite,
                lifetime_ms=LIFETIME_MS,
                patterns=PATTERNS if suite == "scramble" else "",
                framing=framing,
                schedule="chain" if name == "chained-dark" else "fetch",
                fresh_every_ms=2 * LIFETIME_MS,
                ask=f"127.0.0.1:{free_port()}",
            )
            await client.expect(operations.CHANNEL_ADD, ChannelList, channel=data, senders=[])


def write_configurations(folder: Path, card: Path) -> None:
    """Have all channels sent and received."""
    sending = ['[sender]\ncredential = "studio.vault"\n']
    receiving = ['[receiver]\ncredential = "gateway.vault"\ninterface = "lo"\n']
    for name in CHANNELS:
        sending.append(f'[[send]]\nchannel = "{name}"\ninput = "{card}"\n')
        receiving.append(f'[[receive]]\nchannel = "{name}"\noutput = "{name}.out"\nrestart = "never"\n')
    (folder / "sending.toml").write_text("\n".join(sending))
    (folder / "receiving.toml").write_text("\n".join(receiving))


def summary_of(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Wait for a good end and return what the program says of each channel."""
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return {each["channel"]: each["status"] for each in json.loads(out)["channels"]}


def test_every_byte_arrives_also_where_control_packets_do_not(site: Terminal, card: Path) -> None:
    """Over two key changes and many of patterns nothing is lost, by the sender's answers alone if need be."""
    folder = site.folder
    write_configurations(folder, card)
    log = folder / "receiving.log"
    with site.running("receive", "--config", "receiving.toml", "--json", stderr=log) as receiver:
        while log.read_text().count('"joined"') < len(CHANNELS):
            assert receiver.poll() is None
            time.sleep(0.05)
        command = ("send", "--config", "sending.toml", "--seconds", str(SECONDS), "--json")
        with site.running(*command, stderr=folder / "sending.log") as sender:
            sent = summary_of(sender)
        # On a busy machine packets may still wait for the last key.
        outputs = {folder / f"{name}.out": sent[name]["bytes"] for name in CHANNELS}
        eventually(lambda: all(path.stat().st_size >= size for path, size in outputs.items()))
        receiver.terminate()
        got = summary_of(receiver)
    clip = card.read_bytes()
    for name in CHANNELS:
        assert (folder / f"{name}.out").read_bytes() == clip[: sent[name]["bytes"]], name
        assert (got[name]["packets_opened"], got[name]["lost"]) == (sent[name]["packets"], 0)
        assert (got[name]["refused"], got[name]["dropped"]) == (0, 0)
        assert sent[name]["key_changes"] >= 2
        assert got[name]["key_changes"] >= 2
        assert (got[name]["control_accepted"] == 0) == (name in DARK)
