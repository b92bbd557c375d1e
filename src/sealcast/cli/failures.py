"""Owns the one place where whatever goes wrong becomes one clear line on standard error and a status.

| status | meaning |
|---|---|
| 0 | done |
| 1 | failed, or the verdict is no |
| 2 | the command line, configuration or a file does not fit |
| 3 | no server answers over a connection we trust |
| 4 | a server says no |
| 130 | interrupted |
"""

import contextlib
import logging
import os
import sys
from collections.abc import Callable

import typer

from sealcast.core.errors import SealcastError, UsageError

OK = 0
FAILED = 1
INTERRUPTED = 130

EXTRA_OF = {
    "litestar": "server",
    "sqlalchemy": "server",
    "alembic": "server",
    "prometheus_client": "server",
    "iso4217": "server",
    "nats": "cluster",
    "typst": "invoice",
    "av": "demo",
    "flute": "escrow",
    "blake3": "escrow",
    "gmpy2": "escrow",
}
"""Which extra brings a module that may be missing."""

GLOBAL_OPTIONS = ("-v", "--verbose", "-q", "--quiet", "--config", "--passphrase-file")
"""Options that stand before the command; in another place they are unknown, and the line says so."""


def guarded(run: Callable[[], object]) -> int:
    """Run a command and return the exit status; says one line on standard error unless all went well."""
    try:
        result = run()
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_gone()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):
            return _reader_gone()
        return end.code if isinstance(end.code, int) else FAILED
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last resort that turns anything into one line
        line, status = explain(error)
        if line:
            say(line)
        return status
    return result if isinstance(result, int) else OK


def explain(error: Exception) -> tuple[str, int]:
    """Return the line (empty: all is said) and the exit status for an error."""
    if isinstance(error, SealcastError):
        return str(error), error.exit_status
    if isinstance(error, typer.TyperException):
        return _usage(error), UsageError.exit_status
    if isinstance(error, ModuleNotFoundError) and (extra := EXTRA_OF.get((error.name or "").split(".")[0])):
        return f"this command needs more: pip install 'sealcast[{extra}]'", FAILED
    if isinstance(error, OSError):
        place = f" {error.filename}" if error.filename else ""
        return f"the system refuses{place}: {error.strerror or error}", FAILED
    logging.getLogger(__name__).debug("internal error", exc_info=error)
    return f"internal error, please report it with the log of -v: {type(error).__name__}: {error}", FAILED


def say(line: str) -> None:
    """Write one line to standard error, whatever line breaks or control characters its parts brought."""
    text = "".join(c if c.isprintable() else " " for c in " ".join(line.split()))
    with contextlib.suppress(OSError):
        sys.stderr.write(f"sealcast: {text}\n")
        sys.stderr.flush()


def _usage(error: typer.TyperException) -> str:
    message = error.format_message().rstrip(".")
    if not message:
        return ""  # A noun without a verb: its help has been shown.
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "sealcast"
    if any(message.endswith(f": {option}") for option in GLOBAL_OPTIONS):
        return f"{message}; it stands before the command: sealcast {message.rpartition(' ')[2]} ..."
    return f"{message}; see: {command} --help"


def _reader_gone() -> int:
    """End well when whoever read our output has had enough, as `head` does."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return OK
