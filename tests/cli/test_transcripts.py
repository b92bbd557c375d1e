"""Shows the daily work of an operator, a sender and a receiver, command by command."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from cli.terminal import READY_LINE, Terminal, free_port, key_server_url, new_operator

LO = ("--interface", "lo")
JOINED_S_MAX = 20


def wait_for_log(path: Path, event: str) -> None:
    """Wait until a program's log holds an event."""
    deadline = time.monotonic() + JOINED_S_MAX
    while time.monotonic() < deadline:
        if f'"{event}"' in path.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(path.read_text())


def test_init(tmp_path: Path) -> None:
    """One command makes an operator, private to its user, and says what to type next."""
    out = Terminal(tmp_path).good(
        "init", "--dir", ".", "--operator", "Coast TV", "--host", "keys.example", "--host", "192.0.2.1"
    )
    assert "known as https://keys.example:8443, https://192.0.2.1:8443" in out
    assert f"  sealcast --config {tmp_path}/sealcast.toml serve keyserver\n" in out
    assert (tmp_path / "sealcast.toml").stat().st_mode & 0o077 == 0
    assert (tmp_path / "operator.vault").stat().st_mode & 0o077 == 0
    assert 'listen = "0.0.0.0:8443"' in (tmp_path / "sealcast.toml").read_text()


def test_config(tmp_path: Path) -> None:
    """`config show` says where each value is from, `config check` that it fits, for people and programs."""
    terminal = new_operator(tmp_path)
    shown = terminal.good("config", "show", SEALCAST_RECEIVER_REORDER_MS="50")
    assert "reorder_ms = 50  # environment" in shown
    assert f'credential = "{tmp_path}/operator.vault"  # file' in shown
    assert 'format = "auto"  # default' in shown
    assert "good; operator Test TV" in terminal.good("config", "check")
    assert json.loads(terminal.good("config", "check", "--json"))["credentials"] == {"operator": "Test TV"}


def test_channels(operator: Terminal) -> None:
    """Channels are added with the documented defaults, shown, refused if they overlap, and removed."""
    out = operator.good("channel", "add", "t1", "--group", "239.255.7.1:5004")
    assert out.startswith("channel t1 has number ")
    assert "nobody may send on it yet" in out
    row = json.loads(operator.good("channel", "show", "t1", "--json"))
    assert row["channel"].pop("number") > 0
    assert row["channel"] == {
        "name": "t1",
        "group": "239.255.7.1",
        "port": 5004,
        "suite": "aes-128-gcm",
        "lifetime_ms": 600_000,
        "publish_at": "50%",
        "prefetch_at": "25%",
        "fresh_every_ms": 3_600_000,
    }
    overlap = operator.run("channel", "add", "t2", "--group", "239.255.7.1:5004")
    assert overlap.status == 4
    assert "t1" in overlap.complaint
    added = operator.good(
        *(
            "channel",
            "add",
            "t3",
            "--group",
            "[ff15::7]:5004",
            "--suite",
            "aes-256-gcm",
            "--keys",
            "keyserver",
        ),
        *("--lifetime", "90s", "--publish-at", "60s", "--prefetch-at", "25%", "--json"),
    )
    assert json.loads(added)["channels"][0]["channel"]["publish_at"] == "1m"
    listed = json.loads(operator.good("channel", "list", "--json"))["channels"]
    assert {"t1", "t3"} <= {each["channel"]["name"] for each in listed}
    table = operator.good("channel", "list")
    assert table.split()[:3] == ["CHANNEL", "NUMBER", "GROUP"]
    assert "[ff15::7]:5004" in table
    assert "aes-256-gcm" in operator.good("channel", "show", "t3")
    operator.good("channel", "remove", "t3")
    assert operator.run("channel", "show", "t3").status == 4


def test_registry_and_subscribers(operator: Terminal) -> None:
    """Parties are registered once, their vaults are private, and subscriptions come and go."""
    operator.good("channel", "add", "r1", "--group", "239.255.7.2:5004")
    made = json.loads(operator.good("registry", "add", "R-1", "--output", "R-1.vault", "--json"))
    assert made == {"id": "R-1", "role": "device", "vault": "R-1.vault", "key": "R-1.key"}
    assert (operator.folder / "R-1.key").stat().st_mode & 0o077 == 0
    operator.good("registry", "add", "r-studio", "--role", "sender", "--output", "r-studio.vault")
    entries = json.loads(operator.good("registry", "list", "--json"))["entries"]
    assert {("R-1", "device"), ("r-studio", "sender")} <= {(each["id"], each["role"]) for each in entries}
    again = operator.run("registry", "add", "R-1", "--output", "R-1b.vault")
    assert again.status == 4
    assert not (operator.folder / "R-1b.vault").exists()
    exists = operator.run("registry", "add", "R-2", "--output", "R-1.vault")
    assert exists.status == 2
    operator.good("subscriber", "add", "r1", "R-1")
    assert "R-1" in operator.good("subscriber", "list", "r1")
    operator.good("subscriber", "remove", "r1", "R-1")
    assert json.loads(operator.good("subscriber", "list", "r1", "--json")) == {"subscribers": []}
    unknown = operator.run("subscriber", "add", "r1", "R-unknown")
    assert unknown.status == 4
    assert "R-unknown" in unknown.complaint


def test_send_and_receive(operator: Terminal) -> None:
    """What goes in at the sender comes out at a subscriber, bit for bit, and both sum it up."""
    operator.good("channel", "add", "s1", "--group", "239.255.7.3:5004", "--lifetime", "1s")
    operator.good(
        "registry", "add", "s-studio", "--role", "sender", "--channel", "s1", "--output", "s-studio.vault"
    )
    operator.good("registry", "add", "S-1", "--output", "S-1.vault")
    operator.good("subscriber", "add", "s1", "S-1")
    data = os.urandom(400_000)  # noqa: TID251 - a test's data
    (operator.folder / "in.bin").write_bytes(data)
    log = operator.folder / "receiver.log"
    with operator.running(
        *("receive", "s1", "--output", "out.bin", "--credential", "S-1.vault", *LO, "--json"),
        SEALCAST_LOGGING_LEVEL="info",
        stderr=log,
    ) as receiver:
        wait_for_log(log, "joined")
        sent = json.loads(
            operator.good(
                *("send", "s1", "--input", "in.bin", "--rate", "1M", *LO, "--json"),
                SEALCAST_SENDER_CREDENTIAL="s-studio.vault",
                SEALCAST_SENDER_STATE="s-studio.state",
            )
        )
        assert receiver.wait(20) == 0
        assert receiver.stdout is not None
        received = json.loads(receiver.stdout.read())
    assert (operator.folder / "out.bin").read_bytes() == data
    assert sent["bytes"] == received["bytes_written"] == len(data)
    assert received["lost"] == 0
    assert received["key_changes"] >= 1
    assert (sent["ended_by"], received["ended_by"]) == ("end of input", "bye")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_a_stream_well(operator: Terminal, number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C end sender and receiver within 5 s with status 0 and a summary."""
    name = f"e{int(number)}"
    operator.good("channel", "add", name, "--group", f"239.255.7.{int(number)}:5104")
    sending = ("--role", "sender", "--channel", name)
    operator.good("registry", "add", f"{name}-studio", *sending, "--output", f"{name}.studio.vault")
    operator.good("registry", "add", f"{name}-tv", "--output", f"{name}.tv.vault")
    operator.good("subscriber", "add", name, f"{name}-tv")
    (operator.folder / "zero.bin").write_bytes(bytes(10_000_000))
    receiver_log, sender_log = operator.folder / f"{name}.r.log", operator.folder / f"{name}.s.log"
    info = {"SEALCAST_LOGGING_LEVEL": "info"}
    with (
        operator.running(
            *("receive", name, "--output", "-", "--credential", f"{name}.tv.vault", *LO),
            **info,
            stdout=operator.folder / f"{name}.out",
            stderr=receiver_log,
        ) as receiver,
        operator.running(
            *(
                "send",
                name,
                "--input",
                "zero.bin",
                "--rate",
                "1M",
                "--credential",
                f"{name}.studio.vault",
                *LO,
            ),
            **info,
            SEALCAST_SENDER_STATE=f"{name}.state",
            stderr=sender_log,
        ) as sender,
    ):
        wait_for_log(receiver_log, "joined")
        wait_for_log(sender_log, "sending")
        time.sleep(1)
        receiver.send_signal(number)
        assert receiver.wait(8) == 0  # before the sender, whose BYE would end it as well
        sender.send_signal(number)
        assert sender.wait(8) == 0
        assert sender.stdout is not None
        assert sender.stdout.read().rstrip().endswith("; stopped")
    assert receiver_log.read_text().rstrip().endswith("; stopped")


def test_key_server_ends_and_starts_again(tmp_path: Path) -> None:
    """A key server ends with status 0 on SIGTERM, and knows everything when it starts again."""
    terminal = new_operator(tmp_path)
    with terminal.key_server() as server:
        terminal.good("channel", "add", "news", "--group", "239.255.7.4:5004")
        server.terminate()
        assert server.wait(8) == 0
    with terminal.key_server():
        assert "news" in terminal.good("channel", "list")


def test_failover(operator: Terminal) -> None:
    """With two addresses configured, one of which is dead, commands find the living one."""
    urls = f"https://127.0.0.1:{free_port()},{key_server_url(operator)}"
    assert "CHANNEL" in operator.good("channel", "list", SEALCAST_KEYSERVER_URLS=urls)


def test_listen_and_state_by_flag(tmp_path: Path) -> None:
    """Flags stand over the configuration: another port, another state folder."""
    terminal = new_operator(tmp_path)
    (tmp_path / "keyserver").rename(tmp_path / "elsewhere")
    port = free_port()
    arguments = ("serve", "keyserver", "--listen", f"127.0.0.1:{port}", "--state", "elsewhere")
    with terminal.running(*arguments) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{READY_LINE}https://127.0.0.1:{port}\n"
