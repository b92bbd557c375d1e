"""Nonces: fresh, of this operator's servers, or refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import AuthenticationError
from sealcast.core.secret import Secret
from sealcast.messages.nonces import NONCE_AHEAD_MS, NONCE_VALID_MS, Nonces, check_nonce, mint_nonce

KEY = Secret(bytes(range(32)))
NOW_MS = 1_767_225_600_000


@pytest.mark.parametrize("age_ms", [-NONCE_AHEAD_MS, 0, 1, NONCE_VALID_MS])
def test_fresh_nonces_are_taken(age_ms: int) -> None:
    """For two minutes, and from a server whose clock runs a little ahead."""
    check_nonce(KEY, mint_nonce(KEY, NOW_MS - age_ms), NOW_MS)


@pytest.mark.parametrize("age_ms", [-NONCE_AHEAD_MS - 1, NONCE_VALID_MS + 1, NOW_MS])
def test_others_are_not(age_ms: int) -> None:
    """Past that it is old, and far ahead it is of no server of ours."""
    with pytest.raises(AuthenticationError, match="too old"):
        check_nonce(KEY, mint_nonce(KEY, NOW_MS - age_ms), NOW_MS)


def test_a_foreign_key_is_refused() -> None:
    """Another operator's nonce is not ours."""
    with pytest.raises(AuthenticationError, match="not a nonce"):
        check_nonce(Secret(bytes(32)), mint_nonce(KEY, NOW_MS), NOW_MS)


def test_every_changed_character_is_refused() -> None:
    """Time and tag hang together."""
    nonce = mint_nonce(KEY, NOW_MS)
    for at, character in enumerate(nonce):
        forged = nonce[:at] + ("A" if character != "A" else "B") + nonce[at + 1 :]
        with pytest.raises(AuthenticationError):
            check_nonce(KEY, forged, NOW_MS)


@given(st.text(max_size=60))
def test_any_text_is_refused(text: str) -> None:
    """Text that no server made raises AuthenticationError, whatever it is."""
    with pytest.raises(AuthenticationError):
        check_nonce(KEY, text, NOW_MS)


def test_a_nonce_is_short_and_printable() -> None:
    """It fits an HTTP header."""
    nonce = mint_nonce(KEY, NOW_MS)
    assert len(nonce) == 32
    assert nonce.isascii()
    assert nonce.isprintable()


def test_a_remembered_nonce_grows_old_all_the_same() -> None:
    """Its tag is checked once, its age each time; what was refused is not remembered."""
    checked, nonce, foreign = Nonces(KEY), mint_nonce(KEY, NOW_MS), mint_nonce(Secret(bytes(32)), NOW_MS)
    for _ in range(2):
        checked.check(nonce, NOW_MS)
        with pytest.raises(AuthenticationError, match="too old"):
            checked.check(nonce, NOW_MS + NONCE_VALID_MS + 1)
        with pytest.raises(AuthenticationError, match="not a nonce"):
            checked.check(foreign, NOW_MS)
