"""Owns how keys and logs are watched, in the tests' own process and in every program that a test starts.

Modules of Sealcast are patched while they are imported, before anybody has taken a function out of them:
whatever makes or takes a key tells it to the guard. Each log record, and in started programs each text that
is written to standard error and standard output, is then searched for these keys.
"""

import atexit
import binascii
import logging
import os
import sys
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from .index import KnownKeys

REPORT_VARIABLE = "KEYGUARD_REPORT"
"""Names the file to which started programs append what they found."""

RECENT_TEXTS_MAX = 200
"""Log entries searched once more at the end of a test or program, for keys that became known after them."""

TOKEN = "an invitation token"  # noqa: S105 - the kind, not a token
ON_STANDARD_OUTPUT = (TOKEN,)
"""Inviting somebody prints one: it is the answer, and for a person's eyes."""

PRIVATE_PARTS = ("k", "d", "p", "q", "dp", "dq", "qi")
MARK_PRIVATE, MARK_END = "PRIVATE KEY-----", "-----END"
DER_OCTETS_32 = b"\x04\x20"


class Guard:
    """Knows the keys, and gathers what it finds of them in texts."""

    def __init__(self) -> None:
        self.known = KnownKeys()
        self._recent: deque[tuple[str, str, tuple[str, ...]]] = deque(maxlen=RECENT_TEXTS_MAX)
        self._found: dict[str, None] = {}
        self.on_found: Callable[[str], None] = lambda _: None

    def look_at(self, text: str, where: str, *, allowed: tuple[str, ...] = ()) -> None:
        """Search a text for all but the kinds of keys `allowed` there, and again in `take_findings`."""
        self._recent.append((text, where, allowed))
        self._search(text, where, allowed)

    def take_findings(self) -> list[str]:
        """Return what was found since the last time, one line each, and forget the texts."""
        for seen in self._recent:
            self._search(*seen)
        self._recent.clear()
        found, self._found = list(self._found), {}
        return found

    def _search(self, text: str, where: str, allowed: tuple[str, ...]) -> None:
        for what in self.known.find(text):
            line = f"{what} in {where}"
            if line not in self._found and not what.startswith(allowed):
                self._found[line] = None
                self.on_found(line)

    def watch_keys(self) -> None:
        """Have every key told to this guard that Sealcast makes or takes in from now on."""
        for name, patch in PATCHES.items():
            if name in sys.modules:
                patch(sys.modules[name], self.known)
        sys.meta_path.insert(0, _PatchingFinder(self.known))

    def watch_logs(self) -> None:
        """Search every record that any logger handles, wherever handlers send it, from now on."""
        handle = logging.Logger.handle

        def handle_and_look(logger: logging.Logger, record: logging.LogRecord) -> None:
            self.look_at(text_of(record), f"a log entry of {record.name!r}")
            handle(logger, record)

        logging.Logger.handle = handle_and_look  # type: ignore[method-assign]


def text_of(record: logging.LogRecord) -> str:
    """Return all that a handler could make of a record: message, arguments, extras and traceback."""
    try:
        message = record.getMessage()
    except (TypeError, ValueError, KeyError):
        message = str(record.msg)
    parts = [message, repr(vars(record))]
    if record.exc_info and record.exc_info[1] is not None:
        parts += traceback.format_exception(record.exc_info[1])
    return "\n".join([*parts, str(record.stack_info or "")])


def guard_this_program() -> None:
    """Watch a program that a test started, and append what is found to the file that the test named."""
    report = os.environ.get(REPORT_VARIABLE)
    if not report:
        return
    guard = Guard()
    program = " ".join(" ".join(sys.orig_argv[1:]).split())[:200]

    def append(line: str) -> None:
        with Path(report).open("a", encoding="utf-8") as file:
            file.write(f"{line}, program: {program}\n")

    guard.on_found = append
    guard.watch_keys()
    guard.watch_logs()
    _watch_stream(sys.stderr, guard, "standard error", ())
    _watch_stream(sys.stdout, guard, "standard output", ON_STANDARD_OUTPUT)
    atexit.register(guard.take_findings)


def _watch_stream(stream: Any, guard: Guard, name: str, allowed: tuple[str, ...]) -> None:
    if stream is None:
        return
    write = stream.write

    def write_and_look(text: str) -> int:
        guard.look_at(text, name, allowed=allowed)
        return int(write(text))

    stream.write = write_and_look


class _PatchingFinder(MetaPathFinder):
    """Finds the modules of `PATCHES` as Python would, and patches each right after it ran."""

    def __init__(self, known: KnownKeys) -> None:
        self._known = known

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module to patch, None for all others."""
        patch = PATCHES.get(name)
        spec = PathFinder.find_spec(name, path, target) if patch else None
        if patch is None or spec is None or spec.loader is None:
            return None
        execute, known = spec.loader.exec_module, self._known

        def execute_and_patch(module: ModuleType) -> None:
            execute(module)
            patch(module, known)

        spec.loader.exec_module = execute_and_patch  # type: ignore[method-assign]
        return spec


def _patch_secret(module: Any, known: KnownKeys) -> None:
    begin = module.Secret.__init__

    def begin_and_tell(secret: object, value: bytes) -> None:
        begin(secret, value)
        known.add(value, "a Secret")

    module.Secret.__init__ = begin_and_tell


def _patch_jwk(module: Any, known: KnownKeys) -> None:
    def tell(key: Any) -> None:
        for part in PRIVATE_PARTS:
            if getattr(key, part, None):
                known.add_base64(getattr(key, part), f"private part {part!r} of a Jwk")

    _tell_arguments(module, ("jose_key", "native_private_key"), tell)
    _tell_arguments(module.Jwk, ("raw_private",), tell)
    made = ("new_oct_key", "new_signing_pair", "new_sealing_pair", "new_p256_pair", "new_rsa_pair", "jwk_of")
    _tell_results(module, made, tell)


def _patch_enrolment(module: Any, known: KnownKeys) -> None:
    def tell(token: Any) -> None:
        known.add_base64(str(getattr(token, "token", token)), TOKEN)

    _tell_arguments(module, ("token_hash",), tell)
    _tell_results(module, ("new_token", "read_invitation"), tell)


def _patch_files(module: Any, known: KnownKeys) -> None:
    write = module.write_private

    def write_and_tell(path: Path, data: bytes) -> None:
        _tell_pem(data, known)
        write(path, data)

    module.write_private = write_and_tell


PATCHES: dict[str, Callable[[Any, KnownKeys], None]] = {
    "sealcast.core.secret": _patch_secret,
    "sealcast.messages.jwk": _patch_jwk,
    "sealcast.messages.enrolment": _patch_enrolment,
    "sealcast.device.files": _patch_files,
}
"""What is patched where. A function that is missing fails the import: then mend the patch, do not drop it."""


def _tell_pem(data: bytes, known: KnownKeys) -> None:
    """Tell of a private key in PEM: a scalar or seed of 32 bytes (RFC 5915 §3, RFC 8410 §7)."""
    text = data.decode("ascii", "replace")
    if MARK_PRIVATE in text:
        der = binascii.a2b_base64(text.partition(MARK_PRIVATE)[2].partition(MARK_END)[0])
        at = der.index(DER_OCTETS_32) + len(DER_OCTETS_32)
        known.add(der[at : at + 32], "a private key in PEM")


def _tell_arguments(holder: Any, names: Sequence[str], tell: Callable[[Any], None]) -> None:
    for name in names:
        function = getattr(holder, name)

        def call(first: Any, *rest: Any, _function: Any = function, **named: Any) -> Any:
            tell(first)
            return _function(first, *rest, **named)

        setattr(holder, name, call)


def _tell_results(holder: Any, names: Sequence[str], tell: Callable[[Any], None]) -> None:
    for name in names:
        function = getattr(holder, name)

        def call(*given: Any, _function: Any = function, **named: Any) -> Any:
            result = _function(*given, **named)
            tell(result)
            return result

        setattr(holder, name, call)
