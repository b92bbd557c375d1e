"""Shows that shares open together, in both ways of a package, and that a wrong one is named."""

from itertools import combinations

import pytest
from msgspec.structs import replace

from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.core.secret import Secret
from sealcast.messages import jose
from sealcast.sealpack.header import CheckedHeader
from sealcast.sealpack.licence import (
    CheckedLicence,
    make_licence,
    open_content_key,
    read_licence,
    seal_content_key,
)
from sealcast.sealpack.sharing import (
    TYP_SHARE,
    CheckedPart,
    commitment,
    gather,
    open_device_share,
    open_escrow_share,
)
from sealpack.makers import RANDOM, WALL_MS, Party, checked, escrow, header_of, opened, operator, seller

KEY = Secret(bytes(range(50, 82)))
ORDER = "A" * 22
LICENSED = checked(header_of(2, threshold=2, content_key=KEY, is_licensed=True))


@pytest.fixture(scope="module")
def device() -> Party:
    """Return a buyer's device."""
    return operator().party("tv", "device")


def licence_for(device: Party, package: CheckedHeader = LICENSED, order: str = ORDER) -> str:
    """Return a licence by the seller."""
    return make_licence(
        package,
        KEY,
        device.certified,
        order=order,
        signing=seller().signing,
        random=RANDOM,
        now_ms=WALL_MS,
    )


def shares_of(licence: CheckedLicence, device: Party, package_id: bytes) -> dict[int, Secret]:
    """Return all shares of a licence, opened by whom they are for."""
    found = {licence.own.number: open_device_share(licence.own, package_id, device.kek)}
    for number, part in enumerate(licence.parts[1:]):
        found[part.number] = opened(part, escrow(number), package_id)
    return found


def test_one_escrow_opens() -> None:
    """The usual package: its escrow's share is the content key."""
    package = checked(header_of(content_key=KEY))
    share = opened(package.parts[0], escrow(), package.package_id)
    assert gather(package.parts, package.package_id, 1, {1: share}).content_key == KEY


def test_two_of_three_escrows_open() -> None:
    """Any two of three escrows give the key, one alone does not."""
    package = checked(header_of(3, threshold=2, content_key=KEY))
    shares = {
        part.number: opened(part, escrow(part.number - 1), package.package_id) for part in package.parts
    }
    for count in (2, 3):
        for numbers in combinations(shares, count):
            given = {number: shares[number] for number in numbers}
            assert gather(package.parts, package.package_id, 2, given).content_key == KEY
    alone = gather(package.parts, package.package_id, 2, {2: shares[2]})
    assert (alone.content_key, alone.good, alone.wrong) == (None, 1, ())


def test_a_wrong_share_is_named_and_the_others_do() -> None:
    """One forged share of three is pointed at; below the threshold nothing opens, and it is still named."""
    package = checked(header_of(3, threshold=2, content_key=KEY))
    shares = {
        part.number: opened(part, escrow(part.number - 1), package.package_id) for part in package.parts
    }
    shares[2] = Secret(bytes(66))
    found = gather(package.parts, package.package_id, 2, shares)
    assert found.content_key == KEY
    assert [(part.number, part.whose) for part in found.wrong] == [(2, "the share of the escrow escrow-1")]
    del shares[3]
    found = gather(package.parts, package.package_id, 2, shares)
    assert (found.content_key, found.good, len(found.wrong)) == (None, 1, 1)


def test_a_seller_that_shares_nothing() -> None:
    """Numbers that are no shares, each with its commitment, give no content key, and that is said."""
    package = checked(header_of(2, threshold=2))
    shares = {number: Secret(bytes(1) + RANDOM.bytes(65)) for number in (1, 2)}
    parts = [
        CheckedPart(
            replace(part.part, commitment=commitment(package.package_id, part.number, shares[part.number])),
            part.key,
        )
        for part in package.parts
    ]
    found = gather(parts, package.package_id, 2, shares)
    assert (found.content_key, found.good, found.wrong, found.is_broken) == (None, 2, (), True)


def all_shares(package: CheckedHeader) -> dict[int, Secret]:
    """Return all shares of a package, each opened by its escrow."""
    return {part.number: opened(part, escrow(part.number - 1), package.package_id) for part in package.parts}


def test_shares_of_no_one_polynomial() -> None:
    """Each fits its commitment: those that belong together open, in any company; two that do not are told."""
    package = checked(header_of(3, threshold=2, content_key=KEY, is_mixed=True))
    shares, committed = all_shares(package), package.header.key_commitment
    for without in (None, committed):
        for numbers, key in (((1, 2), KEY), ((3, 2, 1), KEY), ((1, 3), None), ((2, 3), None)):
            given = {number: shares[number] for number in numbers}
            found = gather(package.parts, package.package_id, 2, given, without)
            assert (found.content_key, found.is_broken, found.wrong) == (key, key is None, ())


def test_a_key_that_the_seller_did_not_commit_to() -> None:
    """Shares that give another content key than the header's are told, also where all are needed."""
    for count in (1, 2):
        package = checked(header_of(count, threshold=count, key_commitment=bytes(32)))
        found = gather(package.parts, package.package_id, count, all_shares(package), bytes(32))
        assert (found.content_key, found.good, found.is_broken) == (None, count, True)


def test_a_licence_is_of_the_packages_own_key(device: Party) -> None:
    """A seller that takes another package's key for a licence is told before anybody gets it."""
    with pytest.raises(FormatError, match="another packing"):
        licence_for(device, checked(header_of(2, threshold=2, is_licensed=True)))


def test_a_share_that_is_not_what_was_committed() -> None:
    """A seller that encapsulates another share, or nothing, is found out by its number."""
    package = checked(header_of(content_key=KEY))
    part = package.parts[0]
    another = CheckedPart(replace(part.part, commitment=bytes(32)), part.key)
    with pytest.raises(AuthenticationError, match="share 1, the share of the escrow escrow-0"):
        opened(another, escrow(), package.package_id)
    nothing = CheckedPart(replace(part.part, wrapped=bytes(80)), part.key)
    with pytest.raises(AuthenticationError, match="not the one that the seller committed to"):
        opened(nothing, escrow(), package.package_id)
    with pytest.raises(AuthenticationError):
        open_escrow_share(part, package.package_id, Secret(bytes(384)))


def test_a_licence_opens_with_device_and_escrow(device: Party) -> None:
    """Two of three: the device's share with either escrow's, or both escrows'."""
    licence = read_licence(licence_for(device), LICENSED, order=ORDER, device="tv")
    shares = shares_of(licence, device, LICENSED.package_id)
    assert sorted(shares) == [1, 2, 3]
    for numbers in combinations(shares, 2):
        given = {number: shares[number] for number in numbers}
        assert gather(licence.parts, LICENSED.package_id, 2, given).content_key == KEY


def test_each_order_has_its_own_polynomial(device: Party) -> None:
    """Shares of two orders do not go together, though the content key is the same."""
    one, two = (read_licence(licence_for(device), LICENSED) for _ in range(2))
    shares = shares_of(one, device, LICENSED.package_id)
    others = shares_of(two, device, LICENSED.package_id)
    assert all(shares[number] != others[number] for number in shares)
    mixed = gather(one.parts, LICENSED.package_id, 2, {1: shares[1], 2: others[2]})
    assert mixed.content_key is None
    assert [part.number for part in mixed.wrong] == [2]


def test_a_licence_is_for_one_device_order_and_package(device: Party) -> None:
    """Another device, order, package or signer is refused, each by name."""
    token = licence_for(device)
    with pytest.raises(FormatError, match="for the device tv, not for radio"):
        read_licence(token, LICENSED, device="radio")
    with pytest.raises(FormatError, match=f"for the order {ORDER}, not for {'B' * 22}"):
        read_licence(token, LICENSED, order="B" * 22)
    other = checked(header_of(2, threshold=2, is_licensed=True))
    with pytest.raises(FormatError, match=f"not for {other.header.id}"):
        read_licence(token, other)
    usual = checked(header_of())
    with pytest.raises(FormatError, match="takes no licences"):
        licence_for(device, usual)
    forged = make_licence(
        LICENSED, KEY, device.certified, order=ORDER, signing=device.signing, random=RANDOM, now_ms=WALL_MS
    )
    with pytest.raises(AuthenticationError, match="does not verify"):
        read_licence(forged, LICENSED)
    with pytest.raises(AuthenticationError, match="another kind"):
        read_licence(LICENSED.token, LICENSED)
    with pytest.raises(FormatError, match="no device"):
        licence_for(seller())


def test_a_licence_that_opens_with_less_is_refused(device: Party) -> None:
    """The package says how many shares open it; a licence with another number is refused."""
    three = checked(header_of(2, threshold=3, content_key=KEY, is_licensed=True))
    loose = CheckedHeader(
        three.token, replace(three.header, threshold=2), three.seller, three.keys, three.parts
    )
    with pytest.raises(FormatError, match="threshold of 2, and the package 3"):
        read_licence(licence_for(device, loose), three)


def test_the_device_s_share_is_for_it_alone(device: Party) -> None:
    """Another device's key does not open it, and another share in its place is named."""
    licence = read_licence(licence_for(device), LICENSED)
    with pytest.raises(AuthenticationError, match="share 1, the device's share"):
        open_device_share(licence.own, LICENSED.package_id, operator().party("radio", "device").kek)
    sealed = jose.seal(bytes(66), device.kek.public(), kid="tv", typ=TYP_SHARE)
    swapped = CheckedPart(replace(licence.own.part, sealed=sealed), None)
    with pytest.raises(AuthenticationError, match="share 1, the device's share"):
        open_device_share(swapped, LICENSED.package_id, device.kek)
    with pytest.raises(FormatError, match="not the device's"):
        open_device_share(licence.parts[1], LICENSED.package_id, device.kek)
    with pytest.raises(FormatError, match="no escrow opens it"):
        _ = licence.own.encapsulation


def test_the_seller_keeps_the_content_key() -> None:
    """It opens for the seller, of its package alone, and does not show."""
    kept = seal_content_key(KEY, "A" * 22, seller().kek.public(), "studio")
    assert open_content_key(kept, "A" * 22, seller().kek) == KEY
    with pytest.raises(AuthenticationError, match="is of the package"):
        open_content_key(kept, "B" * 22, seller().kek)
    with pytest.raises(AuthenticationError, match="does not open"):
        open_content_key(kept, "A" * 22, operator().party("x", "seller").kek)
