"""The vectors of docs/spec/vectors: an independent verifier agrees with them, and so does our code."""

import ast
import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sealcast.core.errors import RemoteError
from sealcast.device.passphrase import derivation_of, derive, passphrase_of
from sealcast.messages import jose
from sealcast.messages.jwk import Jwk
from sealcast.messages.sealedanswers import open_answer
from sealcast.subscribers.service_withdrawal import Facts, Withdrawal, judge, read_statement
from wire.oracle import VECTORS, load_vectors

ROOT = VECTORS.parents[2]
JWS, JWE, ERASURE = (load_vectors(name) for name in ("jws.json", "jwe.json", "erasure.json"))
PROVEN = {
    "answer", "compound", "control", "data", "hash", "inner", "iv", "nonce", "packet", "payload", "plaintext",
    "public_key", "question", "row_key", "rtp_key", "rtcp_salt", "sealed", "secret", "token", "value",
    "wrapped",
}  # fmt: skip
"""Fields that no other value can stand in."""


def load_verifier() -> ModuleType:
    """Return docs/spec/vectors/verify.py as a module."""
    found = importlib.util.spec_from_file_location("verify", VECTORS / "verify.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


VERIFIER = load_verifier()


def test_a_stranger_verifies_them(tmp_path: Path) -> None:
    """The folder alone, wherever it lies, verifies itself: every file is named, and nothing is left out."""
    shutil.copytree(VECTORS, tmp_path / "vectors")
    done = subprocess.run(
        [sys.executable, "-I", "verify.py"],
        cwd=tmp_path / "vectors",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == list(VERIFIER.FILES)


def test_the_verifier_is_independent() -> None:
    """It imports `cryptography` and the standard library, nothing of ours and no JOSE library."""
    programs = [ast.parse(path.read_text()) for path in VECTORS.glob("*.py")]
    names = {
        name.partition(".")[0]
        for tree in programs
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert names - sys.stdlib_module_names == {"cryptography"}


def changed(content: Any) -> Iterator[tuple[str, Any]]:
    """Yield (place, the whole with one proven field changed), for each such field."""
    for where in places(content):
        copy = deepcopy(content)
        *way, last = where
        inside = copy
        for step in way:
            inside = inside[step]
        text = inside[last]
        middle = len(text) // 2
        inside[last] = text[:middle] + ("0" if text[middle] != "0" else "1") + text[middle + 1 :]
        yield str(where), copy


def places(content: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each string under a proven name."""
    inside = content.items() if isinstance(content, dict) else enumerate(content)
    for step, each in inside:
        if isinstance(each, dict | list):
            yield from places(each, (*way, step))
        elif isinstance(each, str) and {step, *way[-1:]} & PROVEN and "refused" not in way:
            yield (*way, step)


@pytest.mark.parametrize("name", VERIFIER.FILES)
def test_the_verifier_sees_a_change(name: str) -> None:
    """One character changed in any packet, token, key or text that a file proves, and it does not fit."""
    seen = 0
    for place, content in changed(load_vectors(name)):
        if name == "nonces.json" and place.startswith("('nonces'") and not _is_good(content, place):
            continue
        assert not fits(name, content), place
        seen += 1
    assert seen


def fits(name: str, content: Any) -> bool:
    """Whether the verifier takes the content of a file; it raises nothing that it does not report."""
    try:
        VERIFIER.FILES[name](content)
    except VERIFIER.FAULTS:
        return False
    return True


def _is_good(content: Any, place: str) -> bool:
    return bool(content["nonces"][int(place.split(", ")[1])]["good"])


def test_they_are_what_the_code_makes() -> None:
    """Made anew, every file is as it stands; what is random is kept."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "make_vectors.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("vector", JWS["signed"], ids=lambda vector: vector["name"])
def test_signed_requests(vector: dict[str, Any]) -> None:
    """Ours verifies each token under the key, and under its public half."""
    key = Jwk(**vector["key"])
    for each in (key, key if key.kty == "oct" else key.public()):
        assert jose.verify(vector["token"], each, typ=JWS["typ"]).decode() == vector["payload"]


@pytest.mark.parametrize("vector", JWS["refused"], ids=lambda vector: vector["name"])
def test_refused_requests(vector: dict[str, Any]) -> None:
    """Ours refuses each token that nobody may take."""
    with pytest.raises(RemoteError):
        jose.verify(vector["token"], Jwk(**vector["key"]), typ=JWS["typ"])


@pytest.mark.parametrize("vector", JWE["sealed"], ids=lambda vector: vector["name"])
def test_sealed_answers(vector: dict[str, Any]) -> None:
    """Ours opens the envelope and verifies the server's signature, where one is inside."""
    key, server_key = Jwk(**vector["key"]), Jwk(**vector["server_key"])
    inner = jose.unseal(vector["token"], key, typ=vector["typ"])
    assert inner.decode() == vector.get("inner", vector["plaintext"])
    assert open_answer(vector["token"], key, server_key=server_key).decode() == vector["plaintext"]


@pytest.mark.parametrize("vector", JWE["vaults"], ids=lambda vector: vector["name"])
def test_vaults(vector: dict[str, Any]) -> None:
    """Ours opens what stays on a machine, under a key file's key and under a passphrase."""
    how = derivation_of(vector["token"].encode())
    if how is None:
        key = Jwk(**vector["key"])
    else:
        key = derive(passphrase_of(vector["passphrase"], is_new=False), how)
    assert jose.unseal_direct(vector["token"], key, typ=vector["typ"]).decode() == vector["plaintext"]


@pytest.mark.parametrize("vector", ERASURE["withdrawn"], ids=lambda vector: vector["name"])
def test_erasure_statements(vector: dict[str, Any]) -> None:
    """Ours takes each statement, once, and reads the receipt for it."""
    statement, receipt = vector["statement"]["token"], vector["receipt"]["token"]
    device = jose.peek(statement).kid
    assert worth(statement, Jwk(**vector["key"]), device) == "valid"
    server = jose.verify(receipt, Jwk(**ERASURE["server_key"]), typ=jose.TYP_RECEIPT)
    assert server.decode() == vector["receipt"]["payload"]


@pytest.mark.parametrize("vector", ERASURE["refused"], ids=lambda vector: vector["name"])
def test_refused_statements(vector: dict[str, Any]) -> None:
    """Ours finds in each the offence that it is."""
    assert worth(vector["token"], Jwk(**ERASURE["withdrawn"][0]["key"]), "TV-0001") == vector["kind"]


def worth(token: str, key: Jwk, device: str) -> str:
    """Return our judgement of a statement, by the withdrawals that the file says are on record."""
    read = read_statement(token, device, key)
    nonce = read.statement.statement_nonce if read.statement is not None else None
    begun = [
        Withdrawal(
            number=number,
            device=each["device"],
            scope=each["scope"],
            counter=each["counter"],
            is_superseded=each["state"] == "superseded",
            is_closed=each["state"] == "closed",
        )
        for number, each in enumerate(ERASURE["begun"])
        if each["statement_nonce"] == nonce
    ]
    return judge(Facts(ERASURE["operator"], device, read, None, begun[0] if begun else None)).kind
