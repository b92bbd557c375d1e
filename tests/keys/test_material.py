"""Traffic encryption keys: fresh, of the right length, and gone when erased."""

import pytest

from sealcast.core.channel import Suite
from sealcast.core.errors import FormatError
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.core.secret import Secret
from sealcast.keys.material import Tek, make_tek
from sealcast.testing import SimRandom

KEY_ID = KeyId(ChannelNumber(7), Epoch(3))


@pytest.mark.parametrize("suite", list(Suite))
def test_made_keys(suite: Suite) -> None:
    """Key and salt have the suite's lengths, and no two keys have anything in common."""
    random = SimRandom(1)
    teks = [make_tek(KEY_ID, suite, random) for _ in range(50)]
    assert all((len(tek.key), len(tek.salt)) == (suite.key_bytes, 12) for tek in teks)
    assert len({tek.key.reveal() for tek in teks}) == len({tek.salt.reveal() for tek in teks}) == 50


@pytest.mark.parametrize(("key_bytes", "salt_bytes"), [(15, 12), (32, 12), (0, 12), (16, 14), (16, 0)])
def test_other_lengths_are_refused(key_bytes: int, salt_bytes: int) -> None:
    """A key from a message is checked before it is used."""
    with pytest.raises(FormatError):
        Tek(KEY_ID, Suite.AES_128_GCM, Secret(bytes(key_bytes)), Secret(bytes(salt_bytes)))


def test_erase_and_repr() -> None:
    """An erased key gives nothing; a live one is not printed."""
    tek = make_tek(KEY_ID, Suite.AES_128_GCM, SimRandom(1))
    assert tek.key.reveal().hex() not in repr(tek)
    tek.erase()
    for part in (tek.key, tek.salt):
        with pytest.raises(ValueError, match="erased"):
            part.reveal()
