"""Shows that links follow from one another with their update and from nothing less, at both ends alike."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.channel import Suite
from sealcast.core.errors import AuthenticationError
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.core.secret import Secret
from sealcast.core.update import WRAPPED_BYTES
from sealcast.keys.chain import Link, make_update, start_chain
from sealcast.testing import SimRandom

RANDOM = SimRandom(7)


def key_id(epoch: int, channel: int = 3) -> KeyId:
    """Return the key ID of an epoch."""
    return KeyId(ChannelNumber(channel), Epoch(epoch))


@pytest.mark.parametrize("suite", list(Suite))
def test_both_ends_walk_alike(suite: Suite) -> None:
    """A receiver that hears each wrapped update has the sender's keys for 20 links."""
    ours = start_chain(key_id(1), suite, RANDOM)
    theirs = Link(key_id(1), suite, Secret(ours.secret.reveal()))
    seen = set()
    for epoch in range(2, 22):
        assert ours.tek() == theirs.tek()
        seen.add(ours.tek().key.reveal())
        update = make_update(RANDOM)
        wrapped = ours.wrap(update)
        assert len(wrapped) == WRAPPED_BYTES
        ours, theirs = (
            ours.follow(update, key_id(epoch)),
            theirs.follow(theirs.unwrap(wrapped), key_id(epoch)),
        )
    assert len(seen) == 20


def test_as_the_construction_says() -> None:
    """TEK and next link are HKDF by RFC 5869, worked out here with HMAC alone."""
    link = Link(key_id(5), Suite.AES_128_GCM, Secret(bytes(range(32))))
    info = b"sealcast chain tek 1" + key_id(5).pack() + b"aes-128-gcm"
    expanded = hmac.digest(bytes(range(32)), info + b"\x01", hashlib.sha256)
    assert link.tek().key.reveal() + link.tek().salt.reveal() == expanded[:28]
    update = bytes(reversed(range(32)))
    extracted = hmac.digest(update, bytes(range(32)), hashlib.sha256)
    info = b"sealcast chain 1" + key_id(6).pack() + b"\x01"
    assert link.follow(Secret(update), key_id(6)).secret.reveal() == hmac.digest(
        extracted, info, hashlib.sha256
    )


def test_nothing_less_leads_on() -> None:
    """Another update, another link or another key ID leads to another link."""
    link, update = start_chain(key_id(1), Suite.AES_128_GCM, RANDOM), make_update(RANDOM)
    right = link.follow(update, key_id(2))
    assert link.follow(make_update(RANDOM), key_id(2)) != right
    assert link.follow(update, key_id(3)).secret != right.secret
    assert start_chain(key_id(1), Suite.AES_128_GCM, RANDOM).follow(update, key_id(2)) != right


@given(st.binary(max_size=80))
def test_made_up_updates(data: bytes) -> None:
    """Whatever was not wrapped with this link is refused."""
    with pytest.raises(AuthenticationError):
        start_chain(key_id(1), Suite.AES_128_GCM, RANDOM).unwrap(data)


def test_update_of_another_link() -> None:
    """An update opens with its own link alone: not with that of another epoch, channel or suite."""
    link, update = start_chain(key_id(1), Suite.AES_128_GCM, RANDOM), make_update(RANDOM)
    wrapped = link.wrap(update)
    for other in (
        Link(key_id(2), link.suite, link.secret),
        Link(key_id(1, channel=4), link.suite, link.secret),
        Link(key_id(1), Suite.AES_256_GCM, link.secret),
    ):
        with pytest.raises(AuthenticationError):
            other.unwrap(wrapped)


def test_erased() -> None:
    """A link that was erased gives nothing more."""
    link = start_chain(key_id(1), Suite.AES_128_GCM, RANDOM)
    link.erase()
    with pytest.raises(ValueError, match="erased"):
        link.tek()
