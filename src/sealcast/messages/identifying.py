"""Owns what an operator says of a device's person: that it is known, by which evidence; or no longer."""

from typing import Annotated

import msgspec

from sealcast.messages.charging import PageSize
from sealcast.messages.requests import Request

EVIDENCE_CHARS_MAX = 500
"""What was looked at, in a line: an identity card's number, a customer's contract."""


class DeviceIdentifyRequest(Request, frozen=True, kw_only=True):
    """Operator: the person of a certified device is known; its next certificates say so.

    `undo`: no longer. Its certificates that say so are revoked, and others in their place wait for it.
    """

    device: str
    evidence: Annotated[str, msgspec.Meta(max_length=EVIDENCE_CHARS_MAX)] = ""
    undo: bool = False


class IdentifiedListRequest(Request, frozen=True, kw_only=True):
    """Operator: the devices that are identified, by id, behind `after`."""

    after: str = ""
    limit: PageSize = 100


class IdentifiedRow(msgspec.Struct, frozen=True, kw_only=True):
    """An identified device; `is_certified` once its newest certificates say so, which it gets by renewing."""

    device: str
    evidence: str
    identified_by: str
    identified_at: str
    is_certified: bool


class IdentifiedList(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to both; `next` is `after` of the next page."""

    devices: list[IdentifiedRow]
    next: str | None = None
