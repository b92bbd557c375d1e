"""Owns the canonical hash of what a receiver or a key server has come to believe.

A receiver's state falls in two. *Beliefs*: keys with their states, the key on air, senders, counters, replay
windows, the plan for the next key, the end. *Waiting*: packets held for a key, the question about an unknown
key, hints. An attack without keys may add to what waits, within its bounds; beliefs it may not touch.
"""

import hashlib
import sqlite3
from collections import deque
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from operator import itemgetter
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sealcast.core.secret import Secret
from sealcast.receiver.descrambling import HeldPatterns, ScrambledReader
from sealcast.receiver.fetch import FetchPlanner
from sealcast.receiver.following import Follower
from sealcast.receiver.session import ReceiverSession
from sealcast.receiver.streams import Stream
from sealcast.testing import SimRandom

COUNTED = {
    (ReceiverSession, "stats"),
    (ReceiverSession, "_output"),
    (ReceiverSession, "_opened_ns"),
    (ReceiverSession, "_first_opened_ns"),
    (ReceiverSession, "_joined"),
    (ReceiverSession, "_trains"),
    (Follower, "_stats"),
    (Stream, "_keys"),
    *((ScrambledReader, name) for name in ("buffer", "_ask", "_note_opened", "_ready", "_stats")),
    *((ScrambledReader, name) for name in ("_ring", "_streams", "_pending")),
    *((HeldPatterns, name) for name in ("_ring", "_books")),
}
"""Figures for people, keys and patterns kept ready, and buffers: nothing is decided by them."""

WAITING = {
    (ReceiverSession, "_pending"),
    (ReceiverSession, "hinted_servers"),
    (ReceiverSession, "_asked_channel"),
    (FetchPlanner, "_seen"),
    (FetchPlanner, "_unknown_ns"),
    (FetchPlanner, "_unknown_asked_ns"),
}
"""What anybody may cause: a place in a bounded queue, one question in two seconds, a place to ask."""

OPENED = {
    (Stream, "_windows"),
    (Stream, "first_index"),
    (Stream, "last_index"),
    (Stream, "opened"),
    (Stream, "reorder"),
}
"""What an opened packet changes whoever sealed it: that it was opened, and what it says on its way out."""

Skipped = set[tuple[type, str]]


def whole(session: ReceiverSession) -> str:
    """Return the hash of all that a receiver remembers except what it counts."""
    return _hash(session, COUNTED)


def beliefs(session: ReceiverSession) -> str:
    """Return the hash of what a receiver believes: `whole` without what waits."""
    return _hash(session, COUNTED | WAITING)


def course(session: ReceiverSession) -> str:
    """Return the hash of keys, counters and plans: `beliefs` without what opened packets leave behind."""
    return _hash(session, COUNTED | WAITING | OPENED)


HEARD = frozenset({"seen_ms", "first_epoch", "last_epoch", "packets"})
"""Of a reception that lives: stored seconds after it was heard, whoever asks what meanwhile."""


def database(directory: Path, *, but: tuple[str, ...] = ("audit", "requests")) -> str:
    """Return the hash of every row of a key server's database, except of what grows with each request.

    What is heard first and stored later is left out, too: that may fall into any moment of a test.
    """
    digest = hashlib.sha256()
    with sqlite3.connect(directory / "keyserver.sqlite") as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        for (name,) in found.fetchall():
            if name not in but:
                columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{name}")')]
                chosen = ", ".join(
                    f'"{each}"' for each in columns if name != "receptions" or each not in HEARD
                )
                rows = connection.execute(f'SELECT {chosen} FROM "{name}"').fetchall()  # noqa: S608 - names of ours
                digest.update(repr((name, sorted(map(repr, rows)))).encode())
    connection.close()
    return digest.hexdigest()


def _hash(session: ReceiverSession, skipped: Skipped) -> str:
    return hashlib.sha256("\n".join(_lines("", session, skipped)).encode()).hexdigest()


def _lines(path: str, value: object, skipped: Skipped) -> Iterator[str]:
    """Yield one line for each plain value below `value`; anything that we cannot read is an error."""
    if isinstance(value, AESGCM | SimRandom):
        return
    parts = _parts(value)
    if parts is None:
        yield f"{path} = {_plain(value)}"
        return
    yield f"{path} has {len(parts)}"
    for name, each in parts:
        if (type(value), name) not in skipped:
            yield from _lines(f"{path}.{name}", each, skipped)


def _plain(value: object) -> str:
    """Return a value without parts in text; raises TypeError for what has no canonical form."""
    if isinstance(value, Secret):
        return value.reveal().hex() if len(value) else "erased"
    if isinstance(value, Ed25519PublicKey):
        return value.public_bytes_raw().hex()
    if value is None or isinstance(value, bool | int | float | str | bytes | Enum):
        return repr(value)
    raise TypeError(f"{type(value)} has no canonical form")


def _parts(value: object) -> list[tuple[str, object]] | None:
    """Return what an object consists of, by name and in an order of its own; None if it is plain."""
    if isinstance(value, dict):
        return sorted(((repr(key), each) for key, each in value.items()), key=itemgetter(0))
    if isinstance(value, list | tuple | deque):
        return [(str(number), each) for number, each in enumerate(value)]
    if not type(value).__module__.startswith("sealcast.") or isinstance(value, Secret | Enum):
        return None
    names = [field.name for field in fields(value)] if is_dataclass(value) else _attributes(value)
    return [(name, getattr(value, name)) for name in sorted(names)]


def _attributes(value: object) -> list[str]:
    slots = getattr(type(value), "__slots__", None)
    return list(vars(value) if slots is None else slots)
