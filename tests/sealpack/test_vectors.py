"""Our code against docs/spec/vectors/package.json, and the verifier's BLAKE3 against the library's."""

import runpy
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from sealcast.core.secret import Secret
from sealcast.keys.rsakem import RsaPublic, unblind, unwrap_share
from sealcast.keys.shamir import combine
from sealcast.sealpack.chunks import ChunkCipher, digest
from sealcast.sealpack.reading import ContentReader, PackageFile
from sealcast.sealpack.sharing import commitment
from wire.oracle import VECTORS, load_vectors

FILE = load_vectors("package.json")
PUBLIC = RsaPublic(int(FILE["keys"][0]["modulus"], 16))


def ids(each: dict[str, Any]) -> str:
    """Return the name of a vector."""
    return str(each["name"])


@pytest.mark.parametrize("each", FILE["shared"], ids=ids)
def test_shares(each: dict[str, Any]) -> None:
    """Ours combines them, and commits to them alike."""
    shares = {share["number"]: Secret(bytes.fromhex(share["value"])) for share in each["shares"]}
    assert combine(shares, 32).reveal().hex() == each["secret"]
    package = bytes.fromhex(each["package"])
    assert [commitment(package, *share).hex() for share in shares.items()] == [
        share["hash"] for share in each["shares"]
    ]


@pytest.mark.parametrize("each", FILE["encapsulated"], ids=ids)
def test_encapsulations(each: dict[str, Any]) -> None:
    """Ours unblinds the answer and unwraps the share."""
    told = {
        name: bytes.fromhex(each[name]) for name in ("encapsulation", "r", "answer", "wrapped", "package")
    }
    z = unblind(PUBLIC, told["encapsulation"], Secret(told["r"]), told["answer"])
    assert z.reveal().hex() == each["z"]
    share = unwrap_share(z, told["package"], each["number"], told["wrapped"])
    assert (share.reveal().hex(), PUBLIC.key_id) == (each["value"], each["key_id"])


@pytest.mark.parametrize("each", FILE["chunks"], ids=ids)
def test_chunks(each: dict[str, Any]) -> None:
    """Ours opens each chunk in its place."""
    cipher = ChunkCipher(Secret(bytes.fromhex(each["content_key"])), bytes.fromhex(each["package"]))
    sealed = bytes.fromhex(each["sealed"])
    into = bytearray(len(sealed) - 16)
    cipher.open(each["chunk"], sealed, into, is_last=each["is_last"])
    assert (into.hex(), digest(sealed).hex()) == (each["content"], each["hash"])


@pytest.mark.parametrize("each", FILE["files"], ids=ids)
def test_a_whole_package(each: dict[str, Any], tmp_path: Path) -> None:
    """Ours believes it under its CA, finds it whole, and opens it."""
    path = tmp_path / "one.sealpack"
    path.write_bytes(bytes.fromhex(each["packet"]))
    with PackageFile(path) as package:
        header = package.believe(each["ca"])
        assert package.verify(header) == 1
        cipher = ChunkCipher(Secret(bytes.fromhex(each["content_key"])), header.package_id)
        assert ContentReader(package, header, cipher).read(0, 100).hex() == each["content"]


@pytest.mark.parametrize("size", [0, 1, 64, 65, 1_023, 1_024, 1_025, 2_049, 5_000])
def test_the_verifier_hashes_as_the_library_does(size: int) -> None:
    """Two implementations of BLAKE3 agree, at borders of its blocks and chunks."""
    theirs = runpy.run_path(str(VECTORS / "verify_package.py"))["blake3"]
    data = bytes(number % 251 for number in range(size))
    assert theirs(data) == blake3(data).digest()
