"""Shows that a header is believed only from a seller, for escrows, of the operator that is trusted."""

from collections.abc import Callable

import msgspec
import pytest
from msgspec.structs import replace

from sealcast.core.errors import AuthenticationError, FormatError, RemoteError
from sealcast.core.secret import Secret
from sealcast.messages import jose
from sealcast.messages.encoding import encode
from sealcast.messages.package import TYP_LICENCE, TYP_PACKAGE, PackageEscrow, PackageHeader, SharePart
from sealcast.sealpack.header import peek_header, read_header, sign_header
from sealpack.makers import checked, escrow, header_of, operator, seller

CA = operator().ca_pem
HEADER = header_of()
OPERATOR_2 = operator("another")


def test_a_header_is_read() -> None:
    """What the seller signed comes back with who signed, the escrow's key and address, and the shares."""
    found = checked(HEADER)
    assert found.header == HEADER == peek_header(found.token)
    assert found.seller.id == "studio"
    assert (found.lead.id, found.lead.public) == ("escrow-0", escrow().public)
    assert found.lead.document.servers == ["https://escrow.example:8444"]
    assert [part.number for part in found.parts] == [1]
    assert found.layout.size == HEADER.size
    assert read_header(found.token.encode(), CA) == found


def test_several_escrows() -> None:
    """Two of three escrows, in the order of their shares."""
    found = checked(header_of(3, threshold=2))
    assert [part.whose for part in found.parts] == [f"the share of the escrow escrow-{n}" for n in range(3)]


def test_the_length_does_not_depend_on_the_root() -> None:
    """A header can be signed for its length before its root is known."""
    lengths = {
        len(sign_header(replace(HEADER, root=root), seller().signing)) for root in (bytes(32), b"\xff" * 32)
    }
    assert len(lengths) == 1


def test_one_too_long_is_not_signed() -> None:
    """A header that no reader takes is refused at the seller."""
    long = replace(HEADER, escrows=[PackageEscrow(key="x" * 250_000, certificate="")])
    with pytest.raises(FormatError, match="at most"):
        sign_header(long, seller().signing)


def refused(header: PackageHeader, match: str) -> None:
    """Check that a header is refused though the seller signed it."""
    with pytest.raises(RemoteError, match=match):
        checked(header)


def part(**changed: object) -> list[SharePart]:
    """Return the header's part with changed fields."""
    return [replace(HEADER.parts[0], **changed)]


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"version": 2}, "version 2"),
        ({"chunk_bytes": 4_096}, "chunks of 4096"),
        ({"root": bytes(31)}, "root"),
        ({"key_commitment": bytes(31)}, "commitment to the content key"),
        ({"id": "A" * 21 + "B"}, "id is not 16 bytes"),
        ({"name": "../x"}, "not that of a file"),
        ({"name": ".."}, "not that of a file"),
        ({"name": "a\\b"}, "not that of a file"),
        ({"name": "a\nb"}, "not that of a file"),
        ({"title": "red \x1b[31m"}, "do not print"),
        ({"seller": "another"}, "signed a package of another"),
        ({"operator": "another"}, "signed a package"),
        ({"threshold": 2}, "cannot have a threshold"),
        ({"parts": []}, "threshold of 2 to 2"),
        ({"parts": [], "threshold": 3}, "threshold of 2 to 2"),
        ({"parts": HEADER.parts * 2}, "same number"),
        ({"parts": part(escrow=1)}, "one for each escrow"),
        ({"parts": part(escrow=None)}, "one for each escrow"),
        ({"parts": part(commitment=bytes(31))}, "commitment"),
        ({"parts": part(encapsulation=bytes(383))}, "encapsulation of share 1"),
        ({"parts": part(encapsulation=bytes(384))}, "no number that the key takes"),
        ({"parts": part(encapsulation=None)}, "neither"),
        ({"parts": part(wrapped=bytes(79))}, "neither"),
        ({"parts": part(sealed="x")}, "neither"),
        ({"escrows": HEADER.escrows * 2}, "twice"),
    ],
)
def test_what_does_not_fit(changed: dict[str, object], match: str) -> None:
    """What does not follow the form is refused by name, whoever signed it."""
    refused(replace(HEADER, **changed), match)


def test_another_signs() -> None:
    """A device, another seller, or anybody with the certificates of a seller does not sign packages."""
    device = seller("tv", "device")
    theirs = replace(HEADER, certificates=device.certificates, seller="tv")
    with pytest.raises(AuthenticationError, match="by a device"):
        read_header(sign_header(theirs, device.signing), CA)
    with pytest.raises(AuthenticationError, match="does not verify"):
        read_header(sign_header(HEADER, device.signing), CA)
    with pytest.raises(AuthenticationError, match="another seller"):
        read_header(jose.sign(encode(HEADER), seller().signing, kid="tv", typ=TYP_PACKAGE), CA)
    with pytest.raises(AuthenticationError, match="another kind"):
        read_header(jose.sign(encode(HEADER), seller().signing, kid="studio", typ=TYP_LICENCE), CA)


def test_another_operator() -> None:
    """Who trusts another CA believes nothing of it; a seller with another operator's CA is none here."""
    with pytest.raises(AuthenticationError, match="operator's CA"):
        read_header(sign_header(HEADER, seller().signing), OPERATOR_2.ca_pem)
    stranger = OPERATOR_2.party("studio", "seller")
    with pytest.raises(AuthenticationError, match="operator's CA"):
        read_header(sign_header(replace(HEADER, certificates=stranger.certificates), stranger.signing), CA)


@pytest.mark.parametrize(
    ("packed", "match"),
    [
        (lambda: escrow().packed(seller="another"), "sales of another"),
        (lambda: escrow().packed(version=2), "version 2"),
        (lambda: escrow().packed(escrow="escrow-1"), "a key of escrow-1"),
        (lambda: escrow().packed(operator="another"), "a key of escrow-0"),
        (lambda: escrow().packed(key="x"), "another name"),
        (lambda: escrow().packed(exponent=3), "exponent"),
        (lambda: escrow().packed(modulus=b"\x81" * 128), "3072"),
        (lambda: escrow().packed(servers=[]), "no address"),
        (lambda: escrow().packed(servers=["http://escrow.example"]), "no address"),
        (lambda: replace(escrow().packed(), key=escrow(1).packed().key), "does not verify"),
        (lambda: operator().escrow("escrow-0", role="seller").packed(), "not of an escrow"),
        (lambda: OPERATOR_2.escrow("escrow-0").packed(), "operator's CA"),
    ],
)
def test_an_escrow_that_is_none(packed: Callable[[], PackageEscrow], match: str) -> None:
    """A key that no escrow of the operator certified for this seller is refused."""
    refused(replace(HEADER, escrows=[packed()]), match)


@pytest.mark.parametrize("token", ["", "a.b.c", "x" * 300_000, b"\xff.\xff.\xff"])
def test_what_is_no_header(token: str | bytes) -> None:
    """Anything else is refused as a fault of what came."""
    with pytest.raises(FormatError):
        read_header(token, CA)


def test_a_signature_is_written_in_one_way() -> None:
    """The last letter of a signature has bits that count for nothing: they are zeros, so no copy differs."""
    token = sign_header(HEADER, seller().signing)
    others = [letter for letter in "AQgwBRhx" if letter != token[-1]]
    for letter in others:
        with pytest.raises(RemoteError):
            read_header(token[:-1] + letter, CA)


def test_a_field_more_is_refused() -> None:
    """A header says what this version knows, and nothing else."""
    more = msgspec.to_builtins(HEADER) | {"more": 1}
    token = jose.sign(msgspec.json.encode(more), seller().signing, kid="studio", typ=TYP_PACKAGE)
    with pytest.raises(FormatError, match="more"):
        read_header(token, CA)


def test_a_licensed_package_has_no_shares() -> None:
    """Where each order has a licence, the header says how many shares open, and has none."""
    found = checked(header_of(2, threshold=2, is_licensed=True, content_key=Secret(bytes(32))))
    assert found.header.needs_licence
    assert found.parts == ()
