"""Owns asking the key server for usage and for the audit, page by page.

Imported by commands when they run, not for their help.
"""

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Self

from sealcast.cli.acting import Operator, client_of
from sealcast.cli.instants import parse_instant
from sealcast.messages.charging import (
    ROWS_MAX,
    AuditAnswer,
    Finding,
    UsageList,
)
from sealcast.messages.operations_billing import USAGE_AUDIT, USAGE_LIST

FINDINGS_MAX = 10_000
"""Findings kept: whoever has more has one cause, and will see it in these."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which usage is asked for, as the command line gives it."""

    device: str | None
    channel: str | None
    since_ms: int | None
    until_ms: int | None

    @classmethod
    def of(cls, device: str | None, channel: str | None, since: str | None, until: str | None) -> Self:
        """Return the filter of these options; raises UsageError for what is no instant."""
        since_ms = None if since is None else parse_instant(since)
        return cls(device, channel, since_ms, None if until is None else parse_instant(until))


def read_usage(operator: Operator, wanted: Filter, after: str, limit: int) -> UsageList:
    """Return at most `limit` events behind a place, and where to go on; raises as `KeyServerClient.call`."""
    pages: list[UsageList] = []
    every_page(operator, wanted, after, pages.append, limit)
    found = [row for page in pages for row in page.usage]
    return UsageList(usage=found, next=pages[-1].next, more=pages[-1].more)


def every_page(
    operator: Operator,
    wanted: Filter,
    after: str,
    take: Callable[[UsageList], None],
    limit: int | None = None,
) -> None:
    """Have all pages behind a place taken one by one, at most `limit` events if it is given."""

    async def read() -> None:
        place, left = after, limit
        async with client_of(operator) as client:
            while True:
                count = ROWS_MAX if left is None else min(left, ROWS_MAX)
                fields = {**asdict(wanted), "after": place, "limit": count}
                page = await client.expect(USAGE_LIST, UsageList, **fields)
                take(page)
                left = None if left is None else left - len(page.usage)
                if not page.more or left == 0:
                    return
                place = page.next

    asyncio.run(read())


def audit(operator: Operator) -> AuditAnswer:
    """Have everything verified again, piece by piece; return what was checked and found."""

    async def ask() -> AuditAnswer:
        checked: dict[str, int] = {}
        findings: list[Finding] = []
        after: str | None = ""
        async with client_of(operator) as client:
            while after is not None:
                piece = await client.expect(USAGE_AUDIT, AuditAnswer, after=after)
                for kind, count in piece.checked.items():
                    checked[kind] = checked.get(kind, 0) + count
                findings += piece.findings[: FINDINGS_MAX - len(findings)]
                after = piece.next
        return AuditAnswer(checked=checked, findings=findings)

    return asyncio.run(ask())
