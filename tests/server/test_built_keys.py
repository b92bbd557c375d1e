"""Shows that a key server uses the keys of a party as they are now, and keeps none longer than the party."""

import gc
import weakref

from sealcast.device.newkeys import KeyKind, new_keys
from sealcast.messages import jose, operations
from sealcast.messages.channels import ChannelData
from sealcast.messages.encoding import encode
from sealcast.messages.jwk import Jwk, jose_key
from sealcast.messages.requests import RegisteredKeys
from server.inprocess import Guest, InProcess
from server.running import RANDOM


def registered(server: InProcess, name: str) -> Guest:
    """Register a symmetric device with fresh keys."""
    signing, kek = new_keys(KeyKind.SYMMETRIC, RANDOM)
    assert isinstance(signing, Jwk)
    assert isinstance(kek, Jwk)
    sealed = jose.seal(
        encode(RegisteredKeys(signing=signing, kek=kek)),
        server.operator.credential.server_kek,
        kid="keyserver",
        typ=jose.TYP_SEALED_KEY,
    )
    fields = {"id": name, "role": "device", "sealed_keys": sealed, "channels": ["news"]}
    server.run(server.operator.must(operations.REGISTRY_ADD, **fields))
    return server.party("device", name, signing, kek)


def test_replaced_keys_are_used_at_once() -> None:
    """A device that is registered anew is known by its new keys alone, and its answers are sealed to them."""
    server = InProcess()
    try:
        data = ChannelData(name="news", group="239.1.2.3", port=5004)
        server.run(server.operator.must(operations.CHANNEL_ADD, channel=data))
        before = registered(server, "tv")
        for _ in range(2):
            server.run(before.must(operations.KEYS, channel="news"))
        server.run(server.operator.must(operations.REGISTRY_REMOVE, id="tv"))
        assert server.run(before.ask(operations.KEYS, channel="news")).problem == "not-authenticated"
        after = registered(server, "tv")
        for _ in range(2):
            server.run(after.must(operations.KEYS, channel="news"))
        assert server.run(before.ask(operations.KEYS, channel="news")).problem == "not-authenticated"
    finally:
        server.close()


def test_secrets_go_with_their_owner() -> None:
    """When a device is removed, the server holds neither its secrets nor what was built from them."""
    server = InProcess()
    try:
        data = ChannelData(name="news", group="239.1.2.3", port=5004)
        server.run(server.operator.must(operations.CHANNEL_ADD, channel=data))
        device = registered(server, "tv")
        server.run(device.must(operations.KEYS, channel="news"))
        # The device's own keys are equal to those that the server has, and in the same process here.
        del device
        gc.collect()
        held = server.principal("tv")
        assert held is not None
        built = [weakref.ref(jose_key(each)) for each in (held.signing, held.kek)]
        del held
        gc.collect()
        assert None not in [each() for each in built]
        server.run(server.operator.must(operations.REGISTRY_REMOVE, id="tv"))
        gc.collect()
        assert [each() for each in built] == [None, None]
    finally:
        server.close()
