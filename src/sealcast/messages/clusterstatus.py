"""Owns the messages about how a key server stands among several."""

from typing import Literal

import msgspec

from sealcast.messages.requests import Request

ServerRole = Literal["only", "master", "replica"]
"""What a server that answers is; one that stands by relays the question to the master."""


class ClusterStatusRequest(Request, frozen=True, kw_only=True):
    """Operator: how this server stands in its cluster."""


class JournalRow(msgspec.Struct, frozen=True, kw_only=True):
    """How far a replica's journal is in the database: its rows up to `number`, the last of them at `at`.

    A replica begins another journal with each of its starts.
    """

    replica: str
    journal: str
    number: int
    at: str


class ClusterStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a server stands. Of a master: its term, its addresses, what waits to be published, the journals.

    Of a replica: the master it heard last, how old what it knows is (`age_ms`, None if it heard none since
    its start), whether it gives the next key as well, rows of its journal that wait, what it made of entries.
    `version` is that of the last publication.
    """

    name: str
    role: ServerRole
    term: int = 0
    version: int = 0
    urls: list[str] = []
    unpublished: int = 0
    journals: list[JournalRow] = []
    aside: int = 0
    master: str = ""
    age_ms: int | None = None
    is_fresh: bool = False
    journal_depth: int = 0
    entries_taken: int = 0
    entries_rejected: int = 0
    parties: int = 0
    channels: int = 0
