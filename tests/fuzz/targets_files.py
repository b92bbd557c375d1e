"""Owns the targets of files and settings of this machine: vaults, server state, slot files, configuration."""

import itertools
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec

from fuzz.seeds import DEVICE, KEYS, RANDOM, example
from fuzz.targets import Read, Target, local, remote
from sealcast.config.load import load
from sealcast.config.schema import check_url, parse_listen
from sealcast.core.channel import Suite, Threshold, format_duration, parse_duration_ms
from sealcast.core.ids import ChannelNumber, Epoch, KeyId, Ssrc
from sealcast.core.secret import Secret
from sealcast.device.passphrase import derivation_of, passphrase_of
from sealcast.device.vault import Credential, load_vault
from sealcast.keys.lease import RunSlot
from sealcast.keys.material import make_tek
from sealcast.messages import jose
from sealcast.messages.channels import ChannelData, channel_spec
from sealcast.messages.encoding import b64url_encode, encode
from sealcast.messages.material import key_material
from sealcast.sender.slots import SlotStore
from sealcast.sender.sources import parse_rate_bits_per_s
from sealcast.server import state
from sealcast.storage import wrapping
from sealcast.transport.address import is_source_specific, parse_endpoint, parse_group

PRIVATE = 0o600
MASTER = Secret(bytes(range(32)))
CONFIGURATION = b"""[keyserver]
listen = "[::1]:8443"
urls = ["https://keys.example:8443"]
state = "state"
[sender]
credential = "studio.vault"
[receiver]
reorder_ms = 20
[logging]
level = "debug"
"""
ENVIRONMENT = b"SEALCAST_RECEIVER_REORDER_MS=30\nSEALCAST_KEYSERVER_URLS=https://a, https://b\nHOME=/tmp"
SENDER = Credential(
    role="sender",
    id="studio",
    operator="Example",
    signing=KEYS["ed25519"],
    kek=KEYS["x25519"],
    ca_pem="none",
    servers=["https://keys.example:8443"],
    server_key=KEYS["ed25519"].public(),
    server_kek=KEYS["x25519"].public(),
)


def targets() -> dict[str, Target]:
    """Return the targets of this file."""
    vault = jose.seal_direct(encode(DEVICE), KEYS["oct"], typ=jose.TYP_VAULT).encode()
    server = jose.seal_direct(_server_secrets(), state.vault_key(MASTER), typ=jose.TYP_VAULT).encode()
    wrapped = wrapping.wrap(MASTER, b"label ", b"name", Secret(bytes(28)))
    public = state.OperatorKeys(id="operator", signing=KEYS["ed25519"].public(), kek=KEYS["x25519"].public())
    return {
        "vault": local(_load_vault, vault),
        "vault_content": local(_load_vault_content, encode(DEVICE)),
        "vault_header": remote(derivation_of, vault),
        "passphrase": local(_text(lambda text: passphrase_of(text, is_new=True)), b"correct horse\n"),
        "server_vault": local(
            _written("server.vault", lambda path: state._open_vault(path.parent, MASTER)), server
        ),
        "master_key": local(
            _written("master.key", state._read_master_key), b64url_encode(bytes(32)).encode()
        ),
        "operator_keys": local(_written("operator.json", state._read_operator), encode(public)),
        "slots": local(_open_slots, _slot_file()),
        "configuration": local(_load_configuration, CONFIGURATION),
        "environment": local(_load_environment, ENVIRONMENT),
        "address": local(_text(_address), b"rtp://192.0.2.1@232.1.2.3:5004", b"[ff15::1]:5004"),
        "listen": local(_text(parse_listen), b"0.0.0.0:8443", b"[::1]:8443"),
        "url": local(_text(check_url), b"https://keys.example:8443/"),
        "rate": local(_text(parse_rate_bits_per_s), b"1.5M"),
        "duration": local(_text(_duration), b"1.5h", b"90s"),
        "threshold": local(_text(_threshold), b"25%", b"90s"),
        "wrapped_key": local(lambda data: wrapping.unwrap(MASTER, b"label ", b"name", data), wrapped),
    }


def _text(read: Callable[[str], object]) -> Read:
    return lambda data: read(data.decode("utf-8", "surrogateescape"))


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="sealcast-fuzz-"))


def _write(name: str, data: bytes) -> Path:
    path = _folder() / name
    path.touch(mode=PRIVATE)
    path.write_bytes(data)
    return path


def _written(name: str, read: Callable[[Path], object]) -> Read:
    """Return what writes its input to a file and has the file read."""
    return lambda data: read(_write(name, data))


def _load_vault(data: bytes) -> None:
    _write("tv.key", (KEYS["oct"].k or "").encode())
    load_vault(_write("tv.vault", data))


def _load_vault_content(data: bytes) -> None:
    """Load a vault that opens and holds anything."""
    _load_vault(jose.seal_direct(data, KEYS["oct"], typ=jose.TYP_VAULT).encode())


def _server_secrets() -> bytes:
    secrets = example(state.ServerSecrets)
    return encode(msgspec.structs.replace(secrets, signing=KEYS["ed25519"], kek=KEYS["x25519"]))


def _slot_file() -> bytes:
    """Return the file of a sender with a lease and a key."""
    store = SlotStore(_folder() / "example", SENDER, "news")
    store.open()
    tek = make_tek(KeyId(ChannelNumber(7), Epoch(3)), Suite.AES_128_GCM, RANDOM)
    spec = channel_spec(ChannelData(name="news", group="239.1.2.3", port=5004, number=7))
    slots = tuple(RunSlot(Ssrc(epoch), Epoch(epoch)) for epoch in range(3, 6))
    store.take_lease(spec, slots, [key_material(tek)])
    store.close()
    return store._path.read_bytes()


def _open_slots(data: bytes) -> None:
    """Open a slot file, and use what it holds as a sender does."""
    store = SlotStore(_folder() / "slots", SENDER, "news")
    store._path.parent.mkdir(exist_ok=True)
    store._path.touch(mode=PRIVATE)
    store._path.write_bytes(data)
    try:
        store.open()
        for _ in itertools.takewhile(lambda _: store.lease.slots, range(3)):
            slot = store.lease.peek()
            KeyId(ChannelNumber(7), slot.epoch).pack()
            slot.ssrc.to_bytes(4, "big")
            store.consume(slot.epoch)
        for tek in store.known.values():
            tek.erase()
    finally:
        store.close()


def _load_configuration(data: bytes) -> None:
    load(_write("sealcast.toml", data), {})


def _load_environment(data: bytes) -> None:
    """Load with an environment of lines NAME=VALUE, which the system keeps free of zeros."""
    lines = data.replace(b"\0", b"").decode("utf-8", "surrogateescape").split("\n")
    load(_write("sealcast.toml", CONFIGURATION), dict(line.split("=", 1) for line in lines if "=" in line))


def _address(text: str) -> None:
    """Read an address; written and read again it is the same."""
    endpoint = parse_endpoint(text)
    assert parse_endpoint(str(endpoint)) == endpoint
    if endpoint.is_multicast:
        assert parse_group(text) == endpoint
        is_source_specific(endpoint.host)


def _duration(text: str) -> None:
    duration_ms = parse_duration_ms(text)
    assert parse_duration_ms(format_duration(duration_ms)) == duration_ms


def _threshold(text: str) -> None:
    threshold = Threshold.parse(text)
    assert Threshold.parse(str(threshold)) == threshold
    assert threshold.of_ms(600_000) <= 600_000
