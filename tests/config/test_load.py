"""Shows where settings come from and how a mistake in them is named."""

from pathlib import Path

import pytest

from sealcast.config.load import load
from sealcast.config.schema import check_url, parse_listen
from sealcast.core.errors import UsageError

GOOD = """\
# An operator's file.
[keyserver]
listen = "0.0.0.0:9443"
urls = ["https://keys.example:9443"]

[receiver]
reorder_ms = 35
credential = "tv.vault"
"""


def write(folder: Path, text: str) -> Path:
    """Write a configuration file and return its path."""
    path = folder / "sealcast.toml"
    path.write_text(text)
    return path


def test_defaults_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing written anywhere the defaults hold."""
    monkeypatch.setattr("sealcast.config.places.ROOT_CONFIG_DIR", tmp_path)
    loaded = load(None, {"XDG_CONFIG_HOME": str(tmp_path)})
    assert loaded.settings.keyserver.listen == "127.0.0.1:8443"
    assert loaded.settings.receiver.reorder_ms == 20
    assert loaded.origins == {}


def test_file_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment stands over the file, which stands over the defaults; origins say which."""
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, GOOD)
    environment = {
        "SEALCAST_CONFIG": str(path),
        "SEALCAST_RECEIVER_REORDER_MS": "50",
        "SEALCAST_KEYSERVER_URLS": "https://a:1, https://b:2/",
        "SEALCAST_SENDER_CREDENTIAL": "studio.vault",
        "SEALCAST_TRANSPORT": "portable",
        "SEALCAST_DEMO_FIRST_SEQ": "1",
    }
    loaded = load(None, environment)
    assert loaded.settings.keyserver.listen == "0.0.0.0:9443"
    assert loaded.settings.keyserver.urls == ["https://a:1", "https://b:2"]
    assert loaded.settings.receiver.reorder_ms == 50
    assert loaded.settings.receiver.credential == str(tmp_path / "tv.vault")
    assert loaded.settings.sender.credential == str(tmp_path / "studio.vault")
    assert loaded.origins["keyserver", "listen"] == "file"
    assert loaded.origins["receiver", "reorder_ms"] == "environment"


def test_relative_paths_count_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path in a file means beside that file, wherever the program runs."""
    folder = tmp_path / "etc"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    write(folder, '[sender]\nstate = "keys"\ncredential = "/srv/studio.vault"\n')
    loaded = load(Path("etc/sealcast.toml"), {})
    assert loaded.settings.sender.state == str(folder / "keys")
    assert loaded.settings.sender.credential == "/srv/studio.vault"


def test_the_home_of_nobody(tmp_path: Path) -> None:
    """A path in the home folder of a user that is not there is a mistake like any other."""
    path = write(tmp_path, '[receiver]\ncredential = "~no-such-user/tv.vault"\n')
    with pytest.raises(UsageError, match=r"\[receiver\] credential: no home folder is known"):
        load(path, {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[keyserver\n", "(at line 1"),
        ("\n[keyservr]\n", ":2: [keyservr]: no such section; there are keyserver, "),
        ("loud = 1\n", ":1: [loud]: no such section"),
        ("keyserver = 1\n", ":1: [keyserver]: no such section"),
        (
            '[receiver]\n\nreorder = 5\ninterface = "lo"\n',
            ":3: [receiver] reorder: no such key; there are cred",
        ),
        ("[receiver]\nreorder_ms = -1\n", ":2: [receiver] reorder_ms: Expected `int` >= 0"),
        ("[receiver]\nreorder_ms = 'long'\n", ":2: [receiver] reorder_ms: Expected `int`"),
        ("[logging]\nlevel = 'loud'\n", ":2: [logging] level: Invalid enum value 'loud'"),
        ("[admin]\n[keyserver]\nlisten = '8443'\n", ":3: [keyserver] listen: not an address to listen on"),
        ("[keyserver]\nurls = ['http://a']\n", ":2: [keyserver] urls: not the address of a key server"),
        ("[keyserver]\nurls = 'https://a'\n", ":2: [keyserver] urls: Expected `array`"),
        ("[[admin]]\n", ":1: [admin]: no such section"),
    ],
)
def test_mistakes_in_a_file(tmp_path: Path, text: str, expected: str) -> None:
    """A mistake is named with file, line and key, in one line."""
    path = write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load(path, {})
    message = str(caught.value)
    assert message.startswith(str(path))
    assert expected in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SEALCAST_RECEIVER_REORDER_MS", "soon", "SEALCAST_RECEIVER_REORDER_MS: Expected `int`"),
        ("SEALCAST_RECEIVER_REORDER", "1", "SEALCAST_RECEIVER_REORDER: no such key"),
        ("SEALCAST_KEYSERVER_URLS", "a b", "SEALCAST_KEYSERVER_URLS: not the address of a key server"),
    ],
)
def test_mistakes_in_the_environment(tmp_path: Path, name: str, value: str, expected: str) -> None:
    """A mistake in a variable is named by the variable."""
    with pytest.raises(UsageError) as caught:
        load(write(tmp_path, ""), {name: value})
    assert expected in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A named file must be there, be text, and be of a sensible size."""
    with pytest.raises(UsageError, match="there is no configuration file"):
        load(tmp_path / "absent.toml", {})
    with pytest.raises(UsageError, match="cannot read"):
        load(tmp_path, {})
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not text in UTF-8"):
        load(binary, {})
    binary.write_bytes(bytes(2 << 20))
    with pytest.raises(UsageError, match="too large"):
        load(binary, {})


def test_listen_addresses() -> None:
    """IPv4 plain, IPv6 in brackets; anything else is a usage error."""
    assert parse_listen("0.0.0.0:8443") == ("0.0.0.0", 8443)  # noqa: S104 - what an operator may well write
    assert parse_listen("[::1]:1") == ("::1", 1)
    for wrong in (
        "",
        "8443",
        "a:1",
        "::1:80",
        "[127.0.0.1]:1",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:70000",
    ):
        with pytest.raises(UsageError):
            parse_listen(wrong)


def test_urls() -> None:
    """A key server's address is https, a host and a port, nothing more."""
    assert check_url("https://keys.example:8443/") == "https://keys.example:8443"
    for wrong in ("", "https://", "http://a", "keys:8443", "https://a/b", "https://a b"):
        with pytest.raises(UsageError):
            check_url(wrong)


def test_a_cluster(tmp_path: Path) -> None:
    """A server of several names its role and the bus; a database may be a file or an address."""
    path = write(
        tmp_path,
        '[keyserver]\ndatabase = "keys.db"\n[cluster]\nrole = "master"\nbus_credentials = "bus.creds"\n'
        'bus_ca = "bus-ca.pem"\n',
    )
    environment = {"SEALCAST_CLUSTER_BUS": "nats://a:4222, tls://b:4222/"}
    settings = load(path, environment).settings
    assert settings.cluster.bus == ["nats://a:4222", "tls://b:4222"]
    assert settings.cluster.bus_credentials == str(tmp_path / "bus.creds")
    assert settings.cluster.bus_ca == str(tmp_path / "bus-ca.pem")
    assert settings.keyserver.database == str(tmp_path / "keys.db")
    address = "postgresql://keys@db.example/keys"
    named = load(path, {"SEALCAST_KEYSERVER_DATABASE": address}).settings
    assert named.keyserver.database == address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[cluster]\nbus = ["http://a"]\n', r"\[cluster\] bus: not the address of a server of the bus"),
        ('[cluster]\nprefix = "a.b"\n', r"\[cluster\] prefix: "),
        (
            '[keyserver]\ndatabase = "mysql://a"\n',
            r"\[keyserver\] database: a database is a file, or P",
        ),
    ],
)
def test_mistakes_in_a_cluster(tmp_path: Path, text: str, expected: str) -> None:
    """What cannot be an address, or a name on the bus, is told where it stands."""
    with pytest.raises(UsageError, match=expected):
        load(write(tmp_path, text), {})
