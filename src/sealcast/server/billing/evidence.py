"""Owns keeping evidence: the signed requests to which grants go back, as long as the operator's settings say.

A request is kept in the transaction of its grants, or not at all. One that brought nothing new is not kept:
what a device was given before is on record by an earlier one.
"""

from collections.abc import Iterable

from sealcast.core.ids import ChannelNumber, Epoch
from sealcast.keyserver import store_evidence
from sealcast.keyserver.calls import Call

DAY_MS = 86_400_000
PRUNE_EVERY_MS = 1_000


class EvidenceKeeper:
    """Keeps requests for `days`; with 0 none, and what was kept before goes."""

    def __init__(self, days: int) -> None:
        self._days = days
        self._prune_at_ms = 0

    def keep(self, call: Call, channel: ChannelNumber, epochs: Iterable[Epoch], *, new: int) -> None:
        """Keep a request that brought `new` grants, and now and then drop old ones, a bounded number."""
        if self._days and new:
            store_evidence.keep(
                call.connection,
                call.caller.id,
                channel,
                epochs,
                token=call.token.decode("ascii"),
                now_ms=call.wall_ms,
            )
        if not self._prune_at_ms - PRUNE_EVERY_MS <= call.wall_ms < self._prune_at_ms:
            self._prune_at_ms = call.wall_ms + PRUNE_EVERY_MS
            store_evidence.prune(call.connection, call.wall_ms - self._days * DAY_MS)
