"""Owns the end of a reception: the stop notice, and what the key server acknowledged (S3-3).

The notice is sent once the group is left, so whoever keeps the record knows that the router does, too.
"""

import asyncio
from dataclasses import dataclass

from sealcast.client import KeyServerClient
from sealcast.core.errors import RefusedError, RemoteError, UnreachableError
from sealcast.messages import operations
from sealcast.messages.subscribing import Stopped
from sealcast.receiver.presence import Sign

STOP_S_MAX = 2.0
"""How long an end waits for the acknowledgement; the promise is 5 s in all. Unheard, the record times out."""


@dataclass(frozen=True, slots=True)
class ReceptionEnd:
    """What became of a stop notice.

    Acknowledged: reception `number`, None if none lived any more, from `since` to `until` by the clock of
    `by`, who keeps the record. Else `reason` says why not. `last_index` is the SRTP index of the last packet
    that was opened, as the notice told it.
    """

    acknowledged: bool
    number: int | None = None
    since: str | None = None
    until: str | None = None
    by: str | None = None
    reason: str | None = None
    last_index: int | None = None


async def stop_reception(
    client: KeyServerClient, channel: str, sign: Sign | None = None, within_s: float = STOP_S_MAX
) -> ReceptionEnd:
    """Tell the key server that this device left a channel; raises nothing of the network."""
    said = (
        {}
        if sign is None
        else {"key_id": sign.key_id, "packets": sign.packets, "last_index": sign.last_index}
    )
    last_index = None if sign is None else sign.last_index
    try:
        async with asyncio.timeout(within_s):
            stopped = await client.expect(operations.STOP, Stopped, channel=channel, **said)
    except TimeoutError:
        reason = f"{client.server} does not answer in time"
        return ReceptionEnd(acknowledged=False, reason=reason, last_index=last_index)
    except (RefusedError, UnreachableError, RemoteError) as error:
        return ReceptionEnd(acknowledged=False, reason=str(error), last_index=last_index)
    return ReceptionEnd(
        acknowledged=True,
        number=stopped.number,
        since=stopped.since,
        until=stopped.until,
        by=stopped.by,
        last_index=last_index,
    )


def describe_end(end: ReceptionEnd) -> str:
    """Return one clause about it for people."""
    if not end.acknowledged:
        return f"stop not acknowledged ({end.reason})"
    if end.number is None:
        return f"{end.by} had no reception of it any more"
    return f"reception {end.number} from {end.since} to {end.until} acknowledged by {end.by}"
