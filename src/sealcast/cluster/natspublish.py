"""Owns how entries are published over NATS, fenced: only right after what their publisher knows of.

Up to BATCH_MAX entries go as one atomic batch (NATS' ADR-50): the bus takes it whole, and only if its first
message follows the sequence that the publisher names. A publication by anybody else in between makes that
fail. So does a batch of our own whose acknowledgement was lost; then the newest message bears our mark. As
nothing of ours ever stands on what we did not know of, all since is ours, and we go on after it.
"""

import asyncio
from collections.abc import Iterator, Sequence

import msgspec

from sealcast.cluster.natslink import NO_RESPONDERS, Link
from sealcast.cluster.natsstreams import ApiError, stored, stream_info
from sealcast.core.errors import FencedError, UnreachableError

BATCH_MAX = 1_000
"""The bus takes no larger ones."""

BATCH_BYTES_MAX = 4 * 1_024 * 1_024
"""What the bus keeps aside of a batch that is not whole yet."""

SINGLY_MAX = 8
"""So many entries go one after the other where there is a single server: it takes 20 ms for a batch of any
size, for it makes a store of its own for each, and 2 ms for a message."""

WRONG_LAST = (10_071, 10_164)
"""What the bus answers to a publication that does not follow the newest one."""

PUBLISH_S = 4.0
"""For a batch to be on the disks of two servers, which takes about 0.1 s; what comes later is found then."""

TRIES, AGAIN_S = 8, 0.25
"""A new leader of the stream may have to read its own log before it can tell what stands."""

MARK = "Sealcast-Publisher"

Entry = tuple[str, bytes]


class Acknowledged(msgspec.Struct, frozen=True):
    """What the bus answers to a message: where it stands, or why it does not."""

    seq: int = 0
    error: ApiError | None = None


class Publisher:
    """Publishes under a mark of its own, which no other instance of a master has."""

    def __init__(self, prefix: str, mark: str) -> None:
        self._stream = f"{prefix}-entries"
        self._subjects = f"{prefix}.entries"
        self._mark = mark
        self._batches = 0

    async def publish(self, link: Link, entries: Sequence[Entry], after: int) -> int:
        """Publish entries in their order right after `after`; return the sequence of the last.

        Raises FencedError if others published since or the bus lost what it had, UnreachableError.
        """
        is_singly = len(entries) <= SINGLY_MAX and not link.is_of_cluster
        for batch in _batches(entries, 1 if is_singly else BATCH_MAX):
            after = await self._publish_batch(link, batch, after)
        return after

    async def _publish_batch(self, link: Link, batch: list[Entry], after: int) -> int:
        for tries_left in reversed(range(TRIES)):
            answer = await self._send(link, batch, after)
            if answer.error is None:
                return answer.seq
            if answer.error.err_code not in WRONG_LAST:
                raise UnreachableError(f"the bus took no entries: {answer.error.description}")
            after = await self._own_last(link, after, is_final=tries_left == 0)
        raise UnreachableError("the bus does not tell what it has; it may be choosing a leader")

    async def _send(self, link: Link, batch: list[Entry], after: int) -> Acknowledged:
        self._batches += 1
        headers = {MARK: self._mark, "Nats-Expected-Last-Sequence": str(after)}
        for number, (name, data) in enumerate(batch, start=1):
            if len(batch) > 1:
                headers["Nats-Batch-Id"] = f"{self._mark}-{self._batches}"
                headers["Nats-Batch-Sequence"] = str(number)
            if number == len(batch):
                break
            await link.post(f"{self._subjects}.{name}", data, headers)
            headers = {MARK: self._mark}
        if len(batch) > 1:
            headers["Nats-Batch-Commit"] = "1"
        return await acknowledged(link, f"{self._subjects}.{name}", data, headers)

    async def _own_last(self, link: Link, after: int, *, is_final: bool) -> int:
        """Return where the stream ends if that is our own doing, `after` if it is to be asked again."""
        info = await stream_info(link, self._stream)
        last = info.state.last_seq if info is not None else 0
        if last > after:
            newest = await stored(link, self._stream, last)
            if newest is not None and f"{MARK}: {self._mark}\r\n".encode() not in newest.hdrs:
                raise FencedError("another master has published since; this one publishes nothing any more")
            return last if newest is not None else after
        if last < after and is_final:
            raise FencedError("the bus has lost what was published; all is to be published again")
        await asyncio.sleep(AGAIN_S)
        return after


async def acknowledged(link: Link, subject: str, data: bytes, headers: dict[str, str]) -> Acknowledged:
    """Send a message for a stream and return what the bus answers; raises UnreachableError if nothing."""
    message = await link.request(subject, data, headers, timeout_s=PUBLISH_S)
    if (message.headers or {}).get("Status") == NO_RESPONDERS:
        raise UnreachableError(f"the bus at {link.server} has no stream for {subject}: a master makes it")
    try:
        return msgspec.json.decode(message.data, type=Acknowledged)
    except msgspec.MsgspecError as error:
        raise UnreachableError(f"the bus at {link.server} answers what nobody understands") from error


def _batches(entries: Sequence[Entry], most: int) -> Iterator[list[Entry]]:
    batch: list[Entry] = []
    size = 0
    for name, data in entries:
        if batch and (len(batch) == most or size + len(data) > BATCH_BYTES_MAX):
            yield batch
            batch, size = [], 0
        batch.append((name, data))
        size += len(data)
    if batch:
        yield batch
