"""Owns logging: to standard error, for people on a terminal and as JSON elsewhere, and without secrets."""

import logging
import sys
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from sealcast.core.secret import Secret

LEVELS = ("debug", "info", "warning", "error")
CHATTY = ("asyncio", "aiohttp", "alembic", "sqlalchemy")
"""Libraries whose own news is of use to their developers; from them we pass on warnings only."""

HIDDEN_NAMES = frozenset({"key", "salt", "kek", "k", "d", "secret", "token", "sealed_key", "material"})
"""Names under which nothing is ever logged, whatever the value looks like."""


def set_up(
    level: Literal["debug", "info", "warning", "error"],
    style: Literal["auto", "human", "json"],
    *,
    louder: int = 0,
    stream: TextIO | None = None,
) -> None:
    """Send the program's log to `stream` (standard error); `louder` moves the level by steps, either way."""
    target = stream or sys.stderr
    step = max(0, min(len(LEVELS) - 1, LEVELS.index(level) - louder))
    human = style == "human" or (style == "auto" and target.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if human else "iso", utc=not human),
        hide_secrets,
    ]
    if not human:
        shared.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    # A plain traceback: the decorated ones print local variables, and those may be keys.
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(
            colors=target.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        if human
        else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(stream) if stream else _StderrHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(LEVELS[step].upper())
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.DEBUG if step == 0 else logging.WARNING)


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to what standard error is at that moment: a live status line puts itself in between."""

    @property
    def stream(self) -> TextIO:
        """Return the present standard error."""
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        """Stay with standard error, whatever the base class sets."""


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace what carries a secret, or a name that promises one."""
    for name, value in event.items():
        if isinstance(value, bytes | bytearray | memoryview):
            event[name] = f"{len(value)} bytes"
        elif isinstance(value, Secret) or name in HIDDEN_NAMES:
            event[name] = "(hidden)"
    return event
