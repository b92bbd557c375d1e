"""Many channels in one process, as real programs: two of twenty fail, and the others never notice."""

import asyncio
import json
import signal
import subprocess
import time
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
from sealcast.transport.interfaces import choose_interface
from sealcast.transport.multicast import open_receiver, open_sender
from sealcast.transport.system import SystemRandom
from sealcast.transport.unicast import open_unicast_receiver
from sealcast.wire.rtp import pack_header

CHANNELS = [f"c{number:02}" for number in range(20)]
GOOD, ABSENT, DAMAGED = CHANNELS[:18], CHANNELS[18], CHANNELS[19]
RATE, SECONDS = 800_000, 4
PLAIN = ["plain0", "plain1"]
LIFETIME_MS = 2_000
"""The key changes on the way."""
PLAIN_LIFETIME_MS = 20_000
"""Live input that comes while no key is there is gone: here a pause of the machine must not lose a packet."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """Return a terminal where a key server runs that knows the channels, a studio and a gateway."""
    folder = tmp_path_factory.mktemp("many")
    terminal = new_operator(folder)
    terminal.environment |= {"SEALCAST_LOGGING_LEVEL": "info", "SEALCAST_LOGGING_FORMAT": "json"}
    with terminal.key_server():
        asyncio.run(add_channels(folder))
        of_all = [word for name in CHANNELS + PLAIN for word in ("--channel", name)]
        terminal.good("registry", "add", "studio", "--role", "sender", *of_all, "--output", "studio.vault")
        terminal.good("registry", "add", "gateway", *of_all, "--output", "gateway.vault")
        yield terminal


async def add_channels(folder: Path) -> None:
    """Add the channels as the operator."""
    async with KeyServerClient(load_vault(folder / "operator.vault"), SystemRandom()) as client:
        for number, name in enumerate(CHANNELS + PLAIN):
            data = ChannelData(
                name=name,
                group=f"239.255.66.{number + 1}",
                port=5004,
                interface="lo",
                lifetime_ms=PLAIN_LIFETIME_MS if name in PLAIN else LIFETIME_MS,
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


def numbers_of(arrived: list[bytes], payloads: list[bytes]) -> list[int]:
    """Return the number of each payload that arrived, and -1 for one that was never sent."""
    known = {payload: number for number, payload in enumerate(payloads)}
    return [known.get(each, -1) for each in arrived]


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


def test_plain_multicast_in_and_out(site: Terminal) -> None:
    """An encoder's RTP goes in, sealed across, and comes out as it was, to a host and to a group.

    The encoder starts again on the way: its old numbers come with other bytes. Both reload on SIGHUP.
    """
    folder = site.folder
    first, second = PLAIN
    loopback = choose_interface("239.255.66.201", "lo").interface
    with (
        open_unicast_receiver("127.0.0.1", 0) as host,
        open_receiver("239.255.66.202", 6002, loopback) as group,
        open_sender("239.255.66.201", 6000, loopback) as encoder,
    ):
        (folder / "in.toml").write_text(
            f"""[sender]\ncredential = "studio.vault"\n
            [[send]]\nchannel = "{first}"\ninput = "rtp://239.255.66.201:6000"\ninterface = "lo"\n
            [[send]]\nchannel = "{second}"\ninput = "rtp://239.255.66.201:6000"\ninterface = "lo"\n"""
        )
        (folder / "out.toml").write_text(
            f"""[receiver]\ncredential = "gateway.vault"\ninterface = "lo"\n
            [[receive]]\nchannel = "{first}"\noutput = "udp://127.0.0.1:{host.local_address[1]}"\n
            [[receive]]\nchannel = "{second}"\noutput = "udp://239.255.66.202:6002"\n"""
        )
        with (
            site.running("send", "--config", "in.toml", "--json", stderr=folder / "in.log") as sending,
            site.running("receive", "--config", "out.toml", "--json", stderr=folder / "out.log") as receiving,
        ):
            for log, event in (("in.log", '"on air"'), ("out.log", '"joined"')):
                eventually(lambda: (folder / log).read_text().count(event) == 2)  # noqa: B023 - called at once
            for process, log in ((sending, "in.log"), (receiving, "out.log")):
                process.send_signal(signal.SIGHUP)
                eventually(lambda: '"reloaded"' in (folder / log).read_text())  # noqa: B023 - as above
            payloads = [SimRandom(number).bytes(188 * 7) for number in range(500)]
            got: dict[str, list[bytes]] = {"host": [], "group": []}
            for number, payload in enumerate(payloads):
                ssrc, seq = (7, 100 + number) if number < 250 else (8, number - 150)
                encoder.send_batch([pack_header(33, seq, number * 90, ssrc) + payload])
                time.sleep(0.002)
                got["host"] += host.receive_batch(1_000)
                got["group"] += group.receive_batch(1_000)
            ends = time.monotonic() + 10
            while min(map(len, got.values())) < len(payloads) and time.monotonic() < ends:
                time.sleep(0.05)
                got["host"] += host.receive_batch(1_000)
                got["group"] += group.receive_batch(1_000)
            sent, received = by_channel(end(sending)), by_channel(end(receiving))
    arrived = {where: numbers_of(there, payloads) for where, there in got.items()}
    assert arrived == {"host": list(range(500)), "group": list(range(500))}, (sent, received)
    for name in (first, second):
        assert sent[name]["status"]["input_restarts"] == 1
        assert received[name]["packets_opened"] == len(payloads)
        # The new beginning shows as one packet missing.
        assert received[name]["lost"] == 1
