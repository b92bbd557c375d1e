"""Shows that any shares up to the threshold give the secret, and that fewer say nothing of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.core.secret import Secret
from sealcast.keys.shamir import PRIME, SHARE_BYTES, combine, split
from sealcast.testing import SimRandom

NUMBERS = st.lists(st.integers(1, 255), min_size=1, max_size=12, unique=True)


@settings(max_examples=60)
@given(st.binary(min_size=32, max_size=32), NUMBERS, st.data())
def test_any_of_them_give_the_secret(secret: bytes, numbers: list[int], data: st.DataObject) -> None:
    """Whichever shares come together, as many as the threshold or more, the secret is the same."""
    threshold = data.draw(st.integers(1, len(numbers)))
    shares = split(Secret(secret), threshold, numbers, SimRandom(data.draw(st.integers(0, 9))))
    assert {len(share) for share in shares.values()} == {SHARE_BYTES}
    chosen = data.draw(st.permutations(numbers))[: data.draw(st.integers(threshold, len(numbers)))]
    assert combine({number: shares[number] for number in chosen}, 32) == Secret(secret)


@settings(max_examples=60)
@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32), NUMBERS, st.data())
def test_fewer_say_nothing(secret: bytes, other: bytes, numbers: list[int], data: st.DataObject) -> None:
    """With one share too few every secret is still possible: a last share exists that makes it that one."""
    threshold = len(numbers)
    shares = split(Secret(secret), threshold, numbers, SimRandom(3))
    missing = data.draw(st.sampled_from(numbers))
    known = {number: share for number, share in shares.items() if number != missing}
    # The polynomial through the known shares and (0, other), at the number that is missing.
    points = {0: int.from_bytes(other, "big")} | {
        number: int.from_bytes(share.reveal(), "big") for number, share in known.items()
    }
    value = 0
    for at, y in points.items():
        factor = 1
        for x in points:
            if x != at:
                factor = factor * (missing - x) * pow(at - x, -1, PRIME) % PRIME
        value = (value + y * factor) % PRIME
    known[missing] = Secret(value.to_bytes(SHARE_BYTES, "big"))
    assert combine(known, 32) == Secret(other)


def test_worked_out_by_hand() -> None:
    """A line through (1, 7) and (2, 9) meets 0 at 5: Y1 - X1·(Y1 - Y2)/(X1 - X2), with the factor X1."""
    shares = {x: Secret(y.to_bytes(SHARE_BYTES, "big")) for x, y in ((1, 7), (2, 9))}
    assert combine(shares, 1) == Secret(b"\x05")


def test_one_of_one_is_the_secret_itself() -> None:
    """Where one share is enough, it is the secret."""
    secret = Secret(bytes(range(32)))
    shares = split(secret, 1, [1, 7], SimRandom(1))
    assert shares[1] == shares[7] == Secret(bytes(SHARE_BYTES - 32) + secret.reveal())


def test_shares_of_two_polynomials_do_not_combine() -> None:
    """Shares of two orders of one content key give nothing of its length."""
    secret = Secret(bytes(range(32)))
    one, two = (split(secret, 2, [1, 2], SimRandom(seed)) for seed in (1, 2))
    with pytest.raises(AuthenticationError, match="do not combine"):
        combine({1: one[1], 2: two[2]}, 32)


@pytest.mark.parametrize(
    ("threshold", "numbers"), [(1, []), (2, [1]), (0, [1]), (1, [0]), (1, [256]), (2, [3, 3])]
)
def test_what_cannot_be_split(threshold: int, numbers: list[int]) -> None:
    """Numbers outside 1 to 255, twice the same, or fewer than the threshold are refused."""
    with pytest.raises(FormatError):
        split(Secret(b"x" * 32), threshold, numbers, SimRandom(1))


@pytest.mark.parametrize("secret", [b"", b"x" * 65])
def test_a_secret_has_a_length(secret: bytes) -> None:
    """What does not fit below the prime for sure is refused."""
    with pytest.raises(FormatError, match="1 to 64"):
        split(Secret(secret), 1, [1], SimRandom(1))


@pytest.mark.parametrize("share", [b"x" * 65, b"x" * 67, PRIME.to_bytes(66, "big"), b"\xff" * 66])
def test_what_is_no_share(share: bytes) -> None:
    """A share of another length, or outside the field, is refused."""
    with pytest.raises(FormatError):
        combine({1: Secret(share)}, 32)
    with pytest.raises(FormatError, match="no shares"):
        combine({}, 32)
