"""Shows that a list of contents comes back as it was, and that no other bytes are taken for one."""

import hashlib

import msgspec
import pytest

from sealcast.core.errors import FormatError
from sealcast.messages.carousel import CarouselFile, Contents, decode_contents, encode_contents, refusal
from sealcast.wire.alc import FILE_BYTES_MAX, FILE_TSI_BIT, is_contents

DIGEST = hashlib.sha256(b"a").hexdigest()
ONE = CarouselFile("film.sealpack", 1, DIGEST)


def listed(value: object) -> bytes:
    """Return JSON with the digest that makes it a list of contents."""
    text = msgspec.json.encode(value)
    return hashlib.sha256(text).digest() + text


def entry(**changes: object) -> dict[str, object]:
    """Return a file as JSON has it."""
    return {"name": "film", "size": 1, "sha256": DIGEST} | changes


def test_a_list_comes_back() -> None:
    """With its session, which is that of a list and another for other contents."""
    contents = Contents(1, 15, [ONE, CarouselFile("notes.txt", 0, DIGEST)])
    session, data = encode_contents(contents)
    assert decode_contents(data) == contents
    assert is_contents(session)
    assert encode_contents(Contents(1, 15, [ONE]))[0] != session
    assert ONE.session & FILE_TSI_BIT
    assert ONE.session.bit_length() == 48
    assert ONE.session != CarouselFile("film2.sealpack", 1, DIGEST).session


@pytest.mark.parametrize(
    "value",
    [
        {"version": 2, "repair_percent": 15, "files": []},
        {"version": 1, "repair_percent": 0, "files": []},
        {"version": 1, "repair_percent": 28, "files": []},
        {"version": 1, "repair_percent": 15, "files": [], "more": 1},
        {"version": 1, "repair_percent": 15, "files": [entry(name="")]},
        {"version": 1, "repair_percent": 15, "files": [entry(name="x" * 201)]},
        {"version": 1, "repair_percent": 15, "files": [entry(size=-1)]},
        {"version": 1, "repair_percent": 15, "files": [entry(size=FILE_BYTES_MAX + 1)]},
        {"version": 1, "repair_percent": 15, "files": [entry(sha256=DIGEST.upper())]},
        {"version": 1, "repair_percent": 15, "files": [entry(), entry(size=2)]},
        {"version": 1, "repair_percent": 15, "files": [entry(name=str(n)) for n in range(10_001)]},
        [1, 2, 3],
    ],
)
def test_another_list_is_refused(value: object) -> None:
    """Other versions, numbers out of range, one name twice, too many files: FormatError, nothing else."""
    with pytest.raises(FormatError):
        decode_contents(listed(value))


def test_what_is_cut_or_bent_is_refused() -> None:
    """The digest covers all of it."""
    _, data = encode_contents(Contents(1, 15, [ONE]))
    for bad in (b"", data[:31], data[:-1], data[:40] + b"x" + data[41:]):
        with pytest.raises(FormatError):
            decode_contents(bad)


def test_names_that_may_be_written() -> None:
    """Plain names in any script are fine, with spaces and dots inside."""
    for name in ("film.sealpack", "Über uns.pdf", "第一集.mp4", "a b.tar.gz", "-rf", "x" * 200, "part"):
        assert refusal(name) is None, name
    for name in (
        "",
        ".",
        "..",
        "a/b",
        "a\\b",
        ".x",
        "x~",
        "x.TMP",
        "\x00",
        "a\nb",
        " a",
        "a\u200fb",
        "\ud800",
    ):
        assert refusal(name) is not None, repr(name)
