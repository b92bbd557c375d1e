"""The Secret type keeps what it holds."""

import copy
import json
import pickle

import pytest

from sealcast.core.secret import Secret

VALUE = b"sixteen bytes..."


def test_is_not_shown() -> None:
    """Neither repr, str nor formatting shows a byte of it."""
    secret = Secret(VALUE)
    for text in (repr(secret), str(secret), f"{secret}", f"{[secret]}"):
        assert "sixteen" not in text
        assert VALUE.hex() not in text
        assert "16 bytes" in text


def test_compares_by_value() -> None:
    """Equal bytes are equal secrets; a secret equals nothing that is none."""
    assert Secret(VALUE) == Secret(bytearray(VALUE))
    assert Secret(VALUE) != Secret(VALUE[:-1])
    assert Secret(VALUE) != VALUE


def test_leaves_by_reveal_only() -> None:
    """It is not hashed, pickled or put into JSON."""
    secret = Secret(VALUE)
    with pytest.raises(TypeError):
        hash(secret)
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        copy.deepcopy(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)
    assert secret.reveal() == VALUE


def test_is_its_own_copy() -> None:
    """Changing what it was made from does not change it."""
    source = bytearray(VALUE)
    secret = Secret(source)
    source[0] = 0
    assert secret.reveal() == VALUE


def test_erase() -> None:
    """An erased secret gives nothing; erasing again does no harm; the old buffer is zeros."""
    secret = Secret(VALUE)
    buffer = secret._value
    secret.erase()
    secret.erase()
    assert bytes(buffer) == bytes(len(VALUE))
    assert len(secret) == 0
    with pytest.raises(ValueError, match="erased"):
        secret.reveal()
