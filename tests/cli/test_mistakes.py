"""Shows that a mistake ends with one clear line and the documented status, and never with a traceback."""

import shutil
import socket
from pathlib import Path

import pytest

from cli.terminal import Terminal, Typist, key_server_url, new_operator

G = ("--group", "239.255.9.9:5004")

USAGE = [
    # arguments, what the line has to say
    (("sing",), "No such command 'sing'"),
    (("chanel", "list"), "Did you mean 'channel'?"),
    (("channel", "add", "news"), "Missing option '--group'"),
    (("channel", "list", "--loud"), "No such option: --loud"),
    (("channel", "list", "-v"), "it stands before the command: sealcast -v"),
    (("channel", "add", "news", "--group", "192.0.2.1:5004"), "is not a multicast group"),
    (("channel", "add", "news", "--group", "239.1.1.1"), "no port in"),
    (("channel", "add", "news", "--group", "239.1.1.1:5005"), "data port is even"),
    (("channel", "add", "a b", *G), "not a channel name"),
    (("channel", "add", "news", *G, "--lifetime", "soon"), "not a duration: 'soon'"),
    (("channel", "add", "news", *G, "--lifetime", "1ms"), "lies between 1s and 7d"),
    (("channel", "add", "news", *G, "--publish-at", "lots%"), "not a percentage"),
    (("channel", "add", "news", *G, "--prefetch-at", "60%"), "must come after --publish-at"),
    (("channel", "add", "news", *G, "--suite", "rot13"), "rot13"),
    (("channel", "add", "news", "--group", "232.1.1.1:5004"), "is source-specific"),
    (("registry", "add", "TV-1"), "Missing option '--output'"),
    (("--config", "absent.toml", "channel", "list"), "there is no configuration file"),
    (("serve", "keyserver", "--listen", "8443"), "not an address to listen on"),
    (("serve", "keyserver", "--state", "nowhere"), "holds no key server; make one with: sealcast init"),
    (("init", "--dir", "."), "is never overwritten"),
    (("send", "news", "--input", "absent.ts"), "no credential of a sender is given"),
    (("send", "news", "--input", "x", "--credential", "absent.vault"), "absent.vault: No such file"),
    (("send", "news", "--input", "x", "--credential", "operator.vault"), "belongs to an operator"),
    (("send", "news"), "Missing option '--input'"),
    (("receive", "news"), "Missing option '--output'"),
    (("receive", "news", "--output", "x.ts"), "no credential of a device is given"),
    (("receive", "news", "--output", "x.ts", "--reorder-ms", "-1"), "--reorder-ms"),
    (("send", "--all"), "names no channel to send; write [[send]]"),
    (("receive", "--config", "sealcast.toml"), "names no channel to receive; write [[receive]]"),
    (("send", "news", "--config", "sealcast.toml", "--loop"), "CHANNEL, --loop: with --config or --all"),
    (("send", "--config", "absent.toml"), "there is no configuration file"),
    (("demo", "--seconds", "1"), "--seconds"),
    (("demo", "--input", "absent.ts"), "there is no file absent.ts"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """Return a terminal in the folder of an operator whose key server does not run."""
    return new_operator(tmp_path_factory.mktemp("place"))


@pytest.mark.parametrize(("arguments", "expected"), USAGE, ids=[" ".join(case[0]) for case in USAGE])
def test_usage(place: Terminal, type_at: Typist, arguments: tuple[str, ...], expected: str) -> None:
    """What does not fit is said in one line, with status 2."""
    result = type_at(place, *arguments)
    assert expected in result.complaint
    assert result.status == 2
    assert result.out == ""


def test_bad_configuration(place: Terminal, type_at: Typist) -> None:
    """A mistake in the configuration is named with file, line and key."""
    path = place.folder / "bad.toml"
    path.write_text("[receiver]\nreorder_ms = 'long'\n")
    result = type_at(place, "--config", "bad.toml", "config", "check")
    assert "bad.toml:2: [receiver] reorder_ms: Expected `int`" in result.complaint
    assert result.status == 2


@pytest.mark.parametrize(
    ("command", "table", "expected"),
    [
        ("send", 'input = "-"', "[[send]] news: standard input is for one channel alone"),
        ("send", 'input = "x.ts"\nrate = "8X"', "[[send]] news: not a rate: '8X'"),
        (
            "send",
            'input = "udp://239.1.1.1:5000"\nloop = true',
            "[[send]] news: a live input comes at its own",
        ),
        ("send", 'input = "x.ts"\ncredential = "no.vault"', "no.vault: No such file"),
        ("receive", 'output = "-"', "[[receive]] news: standard output is for one channel alone"),
        ("receive", 'output = "tcp://127.0.0.1:1"', "[[receive]] news: unknown scheme 'tcp'"),
    ],
)
def test_bad_channels(place: Terminal, type_at: Typist, command: str, table: str, expected: str) -> None:
    """A channel of many that cannot be is named with file, line and what does not go together."""
    path = place.folder / "bad-channels.toml"
    path.write_text(f'[[{command}]]\nchannel = "news"\n{table}\n')
    result = type_at(place, command, "--config", "bad-channels.toml")
    assert "bad-channels.toml:1: " in result.complaint
    assert expected in result.complaint
    assert result.status == 2


@pytest.mark.parametrize(
    "arguments", [("channel", "list"), ("registry", "add", "TV-1", "--output", "TV-1.vault")], ids=" ".join
)
def test_unreachable(place: Terminal, arguments: tuple[str, ...], type_at: Typist) -> None:
    """Without its key server a command names the address it tried; status 3, and nothing is left behind."""
    result = type_at(place, *arguments)
    assert "cannot connect to https://127.0.0.1:" in result.complaint
    assert "Connection refused" in result.complaint
    assert result.status == 3
    assert not (place.folder / "TV-1.vault").exists()
    assert not (place.folder / "TV-1.key").exists()


def test_port_in_use(place: Terminal, type_at: Typist) -> None:
    """A key server whose port is taken says so."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        result = type_at(place, "serve", "keyserver", "--listen", f"127.0.0.1:{other.getsockname()[1]}")
    assert "cannot listen on 127.0.0.1" in result.complaint
    assert "--listen" in result.complaint
    assert result.status == 2


def test_vault_with_another_key(place: Terminal, tmp_path: Path, type_at: Typist) -> None:
    """A vault beside another vault's key file does not open, and the line names both."""
    other = new_operator(tmp_path)
    shutil.copy(place.folder / "operator.vault", other.folder / "mixed.vault")
    shutil.copy(other.folder / "operator.key", other.folder / "mixed.key")
    result = type_at(other, "channel", "list", SEALCAST_ADMIN_CREDENTIAL="mixed.vault")
    assert "mixed.vault does not open with" in result.complaint
    assert result.status == 2


def test_vault_that_others_can_read(tmp_path: Path, type_at: Typist) -> None:
    """A vault that others can read is refused, with the command that mends it."""
    terminal = new_operator(tmp_path)
    (tmp_path / "operator.vault").chmod(0o644)
    result = type_at(terminal, "channel", "list")
    assert f"chmod 600 {tmp_path / 'operator.vault'}" in result.complaint
    assert result.status == 2


def test_wrong_operator(operator: Terminal, tmp_path: Path, type_at: Typist) -> None:
    """Another operator's credential does not trust this key server; status 3."""
    other = new_operator(tmp_path)
    result = type_at(other, "channel", "list", SEALCAST_KEYSERVER_URLS=key_server_url(operator))
    assert "not by this operator's CA" in result.complaint
    assert result.status == 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("channel", "show", "nowhere"), "nowhere"),
        (("channel", "remove", "nowhere"), "nowhere"),
        (("subscriber", "add", "nowhere", "TV-9"), "nowhere"),
    ],
    ids=" ".join,
)
def test_refused(operator: Terminal, arguments: tuple[str, ...], expected: str, type_at: Typist) -> None:
    """What the key server refuses is said in its words; status 4."""
    result = type_at(operator, *arguments)
    assert expected in result.complaint
    assert result.status == 4


def test_send_and_receive(operator: Terminal, type_at: Typist) -> None:
    """Missing file, no transport stream, unknown interface, unknown channel: one line each."""
    operator.good("channel", "add", "m1", *G)
    operator.good(
        "registry", "add", "m-studio", "--role", "sender", "--channel", "m1", "--output", "m-studio.vault"
    )
    operator.good("registry", "add", "m-tv", "--output", "m-tv.vault")
    (operator.folder / "text.ts").write_text("no transport stream " * 100)
    (operator.folder / "raw.bin").write_bytes(bytes(2000))
    environment = {
        "SEALCAST_SENDER_CREDENTIAL": "m-studio.vault",
        "SEALCAST_SENDER_STATE": "m-studio.state",
        "SEALCAST_RECEIVER_CREDENTIAL": "m-tv.vault",
    }
    lo = ("--interface", "lo")
    cases = [
        (("send", "m1", "--input", "absent.ts", *lo), 2, "absent.ts: No such file"),
        (("send", "m1", "--input", "text.ts", *lo), 2, "is not an MPEG transport stream"),
        (("send", "m1", "--input", "raw.bin", "--rate", "fast", *lo), 2, "not a rate"),
        (("send", "m1", "--input", "raw.bin", "--rate", "1M", "--interface", "no0"), 2, "no interface 'no0'"),
        (("send", "nowhere", "--input", "raw.bin", "--rate", "1M", *lo), 4, "nowhere"),
        (("receive", "nowhere", "--output", "out.ts", *lo), 4, "nowhere"),
        (("receive", "m1", "--output", "out.ts", *lo), 4, "m-tv"),
        (("receive", "m1", "--output", "absent/out.ts", *lo), 2, "its directory does not exist"),
        (("receive", "rtp://239.255.9.9:5004", "--output", "o.ts", "--interface", "no0"), 2, "'no0'"),
        (("receive", "rtp://192.0.2.1:5004", "--output", "o.ts", *lo), 2, "is not a multicast group"),
        (("receive", "rtp://239.255.9.9:5005", "--output", "o.ts", *lo), 2, "even data port"),
        (("receive", "udp://239.255.9.9:5004", "--output", "o.ts", *lo), 2, "a stream is rtp://"),
        (("receive", "m1", "--output", "tcp://a:1", *lo), 2, "tcp"),
    ]
    for arguments, status, expected in cases:
        result = type_at(operator, *arguments, **environment)
        assert expected in result.complaint, arguments
        assert result.status == status, (arguments, result.err)


def test_without_key_server(tmp_path: Path) -> None:
    """Sender and receiver that never met their key server cannot start without it; status 3."""
    terminal = new_operator(tmp_path)
    with terminal.key_server():
        terminal.good("registry", "add", "studio", "--role", "sender", "--output", "studio.vault")
        terminal.good("registry", "add", "TV-1", "--output", "TV-1.vault")
    (tmp_path / "raw.bin").write_bytes(bytes(2000))
    state = {"SEALCAST_SENDER_STATE": "studio.state"}
    sending = terminal.run(
        *("send", "news", "--input", "raw.bin", "--rate", "1M", "--interface", "lo"),
        *("--credential", "studio.vault"),
        **state,
    )
    receiving = terminal.run(
        "receive", "news", "--output", "out.ts", "--interface", "lo", "--credential", "TV-1.vault"
    )
    for result in (sending, receiving):
        assert "cannot connect to https://127.0.0.1:" in result.complaint
        assert result.status == 3
