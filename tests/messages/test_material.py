"""How a key goes into a message and comes out of one."""

from dataclasses import replace

import msgspec
import pytest

from sealcast.core.channel import Suite
from sealcast.core.errors import FormatError
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.keys.material import make_tek
from sealcast.messages.material import key_material, read_key
from sealcast.testing import SimRandom

KEY_ID = KeyId(ChannelNumber(7), Epoch(3))


@pytest.mark.parametrize("suite", Suite)
def test_a_key_comes_out_as_it_went_in(suite: Suite) -> None:
    """Both suites survive the way into a message and back."""
    tek = make_tek(KEY_ID, suite, SimRandom("key"))
    assert read_key(key_material(tek)) == tek
    assert read_key(key_material(tek)) != replace(tek, key_id=KeyId(ChannelNumber(7), Epoch(4)))


@pytest.mark.parametrize("change", [{"suite": "des"}, {"key_id": "zz"}, {"key": b"short"}, {"salt": b""}])
def test_what_is_no_key_is_refused(change: dict[str, str | bytes]) -> None:
    """An unknown suite, a misshapen key ID and wrong lengths are format errors, never others."""
    material = key_material(make_tek(KEY_ID, Suite.AES_128_GCM, SimRandom("key")))
    with pytest.raises(FormatError):
        read_key(msgspec.structs.replace(material, **change))
