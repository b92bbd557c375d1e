"""Owns the socket and the addresses at which a key server pushes events."""

import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

import sqlalchemy as sa

from sealcast.core.errors import UsageError
from sealcast.keyserver.notices import OnNotice
from sealcast.keyserver.ports import ReceptionEnds
from sealcast.messages.subscribing import EndRow, Event
from sealcast.server.settings import EventSettings

BACKLOG = 4_096
"""Connections that wait to be accepted: all receivers of a channel come back after a restart."""

ENDS_THE_RIGHT = ("withdrawn", "removed", "channel-removed", "party-removed")
"""Of the reasons why a reception ends, those after which the device need not ask for keys any more."""


def open_listening(settings: EventSettings) -> socket.socket | None:
    """Return the socket that listens for event streams; None if it is in use and events are optional.

    Raises UsageError for an address that does not do.
    """
    try:
        family, _, _, _, resolved = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"not a host of this machine: {settings.host!r}") from error
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(resolved)
        listening.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listening.close()
        if settings.is_optional:
            return None
        reason = error.strerror if isinstance(error, OSError) else str(error)
        place = f"{settings.host}:{settings.port}"
        raise UsageError(
            f"cannot listen for event streams on {place}: {reason}; choose another with --events"
        ) from error
    return listening


def event_urls(settings: EventSettings | None, urls: Sequence[str]) -> tuple[str, ...]:
    """Return where parties listen to events: as set, or the hosts of `urls` with the port for events."""
    if settings is None:
        return ()
    return settings.urls or tuple(dict.fromkeys(_with_port(url, settings.port) for url in urls))


class TellingEnds:
    """Ends receptions as `ends` does, and tells the devices whose right to receive is over."""

    def __init__(self, ends: ReceptionEnds, on_notice: OnNotice) -> None:
        self._ends, self._on_notice = ends, on_notice

    def end_receptions(self, connection: sa.Connection, ends: Sequence[EndRow], wall_ms: int) -> None:
        """End receptions, and tell of each channel by name; a party that is gone is looked at anyway."""
        self._ends.end_receptions(connection, ends, wall_ms)
        for end in ends:
            if end.reason in ENDS_THE_RIGHT and end.channel is not None:
                self._on_notice(Event(kind="ended", channel=end.channel), end.device)


def _with_port(url: str, port: int) -> str:
    host = urlsplit(url).hostname or ""
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
