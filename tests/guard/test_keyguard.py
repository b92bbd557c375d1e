"""Shows that the guard over the tests finds keys in logs in every form, and nothing where there is none."""

import base64
import logging
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from guard.keyguard import index
from guard.keyguard.index import KnownKeys
from guard.keyguard.watch import REPORT_VARIABLE, text_of

RANDOM = random.Random(7)  # noqa: S311 - a test is to be the same each time
KEY = RANDOM.randbytes(16)
ROOT = Path(__file__).parents[2]

FORMS = {
    "hex": KEY.hex(),
    "HEX": KEY.hex().upper(),
    "hex within more": f"0x7{KEY.hex()}ab",
    "base64": base64.b64encode(KEY).decode(),
    "base64url without padding": base64.urlsafe_b64encode(KEY).decode().rstrip("="),
    **{
        f"base64 of more, {before} and {after} bytes": base64.b64encode(
            bytes(before) + KEY + bytes(after)
        ).decode()
        for before in range(4)
        for after in range(3)
    },
    "base64 in lines": base64.encodebytes(RANDOM.randbytes(50) + KEY).decode(),
    "base64 in lines, in JSON": base64.encodebytes(RANDOM.randbytes(50) + KEY).decode().replace("\n", r"\n"),
    "repr": repr(KEY),
    "repr of a bytearray": repr(bytearray(b"'" + KEY)),
    "repr of a repr": repr(repr(KEY)),
    "latin-1": KEY.decode("latin-1"),
    "surrogates": KEY.decode("utf-8", "surrogateescape"),
    "JSON": "".join(f"\\u{byte:04x}" for byte in KEY),
}


@pytest.fixture
def known() -> KnownKeys:
    """Return an index that knows one key among thousands."""
    known = KnownKeys()
    for _ in range(5_000):
        known.add(RANDOM.randbytes(32), "another")
    known.add(KEY, "the key")
    return known


@pytest.mark.parametrize("form", FORMS)
def test_a_key_is_found(known: KnownKeys, form: str) -> None:
    """Raw, hexadecimal and base64, at any alignment, alone and inside a line."""
    for text in (FORMS[form], f"event token={FORMS[form]} channel=news", f'{{"a":"{FORMS[form]}"}}'):
        assert any(what.startswith("the key of 16 bytes") for what in known.find(text)), text


def test_nothing_is_found_where_nothing_is(known: KnownKeys) -> None:
    """A key short of a byte, its hash and other keys' base64 are no finding."""
    for data in (KEY[:-1], KEY[1:], RANDOM.randbytes(3_000)):
        assert not known.find(f"{data!r} {data.hex()} {base64.b64encode(data).decode()}")


def test_simple_keys_are_no_secrets() -> None:
    """All zeros, one byte repeated and short values are not looked for."""
    known = KnownKeys()
    for key in (bytes(16), b"k" * 32, b"k" * 16 + b"s" * 12, b"hunter2", b""):
        known.add(key, "simple")
    assert len(known) == 0
    known.add(bytes(range(16)), "not so simple")
    assert len(known) == 1


def test_the_index_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """With too many keys the oldest are forgotten."""
    monkeypatch.setattr(index, "KEYS_MAX", 3)
    known = KnownKeys()
    keys = [bytes(range(at, at + 16)) for at in range(5)]
    for key in keys:
        known.add(key, "a key")
    assert len(known) == 3
    assert [bool(known.find(key.hex())) for key in keys] == [False, False, True, True, True]


def test_a_record_is_searched_whole(known: KnownKeys) -> None:
    """Arguments, extras and tracebacks are searched, also where the message does not fit its arguments."""
    record = logging.LogRecord("x", logging.INFO, "", 1, "%d", ("no number", KEY), None)
    assert known.find(text_of(record))
    record = logging.LogRecord("x", logging.INFO, "", 1, "fine", (), None)
    record.extra = {"deep": [KEY]}
    assert known.find(text_of(record))
    try:
        int(KEY.hex() + "!")
    except ValueError:
        record = logging.LogRecord("x", logging.INFO, "", 1, "fine", (), sys.exc_info())
    assert known.find(text_of(record))


CONFTEST = """
import sys
sys.path.insert(0, {tests!r})
from guard.plugin import install

def pytest_configure(config):
    install(config)
"""

LEAKS = '''
import base64
import logging
import subprocess
import sys
import pytest
import structlog
from sealcast.config import logs
from sealcast.core.secret import Secret
from sealcast.messages import enrolment, jwk
from sealcast.transport.system import SystemRandom

KEY = Secret(SystemRandom().bytes(16))
LOG = logging.getLogger("somebody")
PROGRAM = """
import logging, sys
from sealcast.core.secret import Secret
from sealcast.transport.system import SystemRandom
key = Secret(SystemRandom().bytes(16))
{}
"""

def in_a_program(line):
    subprocess.run([sys.executable, "-c", PROGRAM.format(line)], check=False, capture_output=True)

def test_leak_as_hex():
    LOG.warning("key %s", KEY.reveal().hex())

def test_leak_before_it_was_a_secret():
    key = SystemRandom().bytes(32)
    LOG.error("key %r", key)
    Secret(key)

def test_leak_as_an_argument_in_a_nested_value():
    LOG.warning("keys %s", {"a": [KEY.reveal()]})

def test_leak_in_a_traceback():
    try:
        raise ValueError(base64.b64encode(b"x" + KEY.reveal()).decode())
    except ValueError:
        LOG.exception("went wrong")

def test_leak_of_a_jwk():
    key = jwk.new_signing_pair(SystemRandom())
    LOG.warning("my key is %s", key.d)

def test_leak_of_a_token():
    LOG.warning("use %s", enrolment.new_token(SystemRandom()))

def test_leak_through_structlog():
    logs.set_up("info", "json")
    structlog.get_logger().info("event", value=KEY.reveal().hex())

def test_leak_through_structlog_not_set_up():
    structlog.reset_defaults()
    structlog.get_logger().info("event", value=KEY.reveal())

def test_leak_by_printing():
    print(KEY.reveal().hex())

def test_leak_in_a_log_of_a_program():
    in_a_program("logging.warning('key %s', key.reveal().hex())")

def test_leak_on_standard_error_of_a_program():
    in_a_program("sys.stderr.write(key.reveal().hex())")

def test_leak_on_standard_output_of_a_program():
    in_a_program("print('the key is', key.reveal().hex())")

def test_leak_in_a_program_before_it_was_a_secret():
    in_a_program("new = SystemRandom().bytes(32); logging.error(new.hex()); Secret(new)")

def test_leak_in_the_last_traceback_of_a_program():
    in_a_program("raise ValueError(key.reveal())")

@pytest.fixture
def leaking():
    yield
    LOG.warning("key %s", KEY.reveal())

def test_leak_at_the_end(leaking):
    pass

def test_fine():
    print(enrolment.new_token(SystemRandom()))
    LOG.warning("key %r of %s", KEY, jwk.new_signing_pair(SystemRandom()))
    in_a_program("logging.warning('key %s', key)")
'''


def test_a_test_that_logs_a_key_fails(tmp_path: Path) -> None:
    """Each test of a run that leaks a key fails, in its own process or a program; others pass."""
    (tmp_path / "conftest.py").write_text(CONFTEST.format(tests=str(ROOT / "tests")))
    (tmp_path / "test_leaks.py").write_text(LEAKS)
    paths = [str(ROOT / "src"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    inherited = {name: value for name, value in os.environ.items() if name != REPORT_VARIABLE}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:schemathesis",
            "--rootdir",
            str(tmp_path),
            "-rA",
        ],
        cwd=tmp_path,
        env={**inherited, "PYTHONPATH": os.pathsep.join(path for path in paths if path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    lines = re.findall(r"^(PASSED|FAILED|ERROR) \S+::(\w+)", done.stdout, flags=re.MULTILINE)
    results = {name: outcome for outcome, name in lines}
    expected = {
        line.split("(")[0].removeprefix("def "): "FAILED"
        for line in LEAKS.splitlines()
        if line.startswith("def test_leak")
    }
    expected |= {"test_leak_at_the_end": "ERROR", "test_fine": "PASSED"}
    assert results == expected, done.stdout + done.stderr
    assert "A key reached a log:" in done.stdout
