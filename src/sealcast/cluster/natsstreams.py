"""Owns the two streams on the bus and its API as far as it is used: JSON asked for and JSON answered.

```
PREFIX-entries   PREFIX.entries.KIND.HASH   the newest of each subject; published whole or not at all
PREFIX-journal   PREFIX.journal.REPLICA     each batch until it was acknowledged, once per message id
```
Both are on disk, on three servers where the bus has as many. Sources: NATS' ADR-8 (newest of a subject),
ADR-50 (atomic batches), and its JetStream wire API.
"""

from typing import TypeVar

import msgspec

from sealcast.cluster.natslink import NO_RESPONDERS, Link, NatsSettings
from sealcast.core.errors import UnreachableError, UsageError

API_S = 2.0
"""For one question. A cluster that has lost a leader answers nothing until it has another, 4 to 9 s later:
who asks again often hears of it early."""

REPLICAS = 3
"""Of each stream on a cluster: one server may be lost, and one more may not be asked."""

DUPLICATES_NS = 600 * 1_000_000_000
"""How long the bus remembers message ids: longer than a replica waits before it submits again."""

CONSUMER = "master"
ACK_WAIT_NS = 10 * 1_000_000_000
"""A batch that was given to a master which died is given to another one after this."""

INACTIVE_NS = 60 * 1_000_000_000
"""Who watches asks at least this often."""

NOT_FOUND, NO_MESSAGE = 10_059, 10_037
NO_JETSTREAM = (10_039, 10_076)

T = TypeVar("T", bound=msgspec.Struct)


class ApiError(msgspec.Struct, frozen=True):
    """What the bus says went wrong, with its own number."""

    err_code: int = 0
    description: str = ""


class StreamConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a stream that matter here, by NATS' names; its others stay as they are."""

    name: str
    subjects: list[str]
    retention: str
    discard: str
    num_replicas: int
    max_msgs_per_subject: int = -1
    storage: str = "file"
    allow_atomic: bool = False
    duplicate_window: int = DUPLICATES_NS


class StreamState(msgspec.Struct, frozen=True):
    """How many messages a stream has, and the sequence of the last."""

    messages: int = 0
    last_seq: int = 0


class StreamInfo(msgspec.Struct, frozen=True):
    """A stream as the bus describes it; one that was removed and made anew was `created` later."""

    config: msgspec.Raw = msgspec.Raw(b"{}")
    created: str = ""
    state: StreamState = StreamState()
    error: ApiError | None = None


class ConsumerConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How messages of a stream are given out, by NATS' names."""

    name: str
    deliver_policy: str
    ack_policy: str
    durable_name: str = ""
    opt_start_seq: int = 0
    ack_wait: int = 0
    max_ack_pending: int = 0
    inactive_threshold: int = 0
    num_replicas: int = 0
    mem_storage: bool = False


class NewConsumer(msgspec.Struct, frozen=True):
    """A question: a consumer is to be made."""

    stream_name: str
    config: ConsumerConfig


class Made(msgspec.Struct, frozen=True):
    """An answer of which only the error matters."""

    error: ApiError | None = None


def entries_stream(settings: NatsSettings, replicas: int) -> StreamConfig:
    """Return how the stream of entries is to be."""
    return StreamConfig(
        name=f"{settings.prefix}-entries",
        subjects=[f"{settings.prefix}.entries.>"],
        retention="limits",
        discard="old",
        num_replicas=replicas,
        max_msgs_per_subject=1,
        allow_atomic=True,
    )


def journal_stream(settings: NatsSettings, replicas: int) -> StreamConfig:
    """Return how the stream of journals is to be: a full disk refuses what comes, and drops nothing."""
    return StreamConfig(
        name=f"{settings.prefix}-journal",
        subjects=[f"{settings.prefix}.journal.*"],
        retention="workqueue",
        discard="new",
        num_replicas=replicas,
    )


def watching(name: str, first: int) -> ConsumerConfig:
    """Return how a server is given entries from the sequence `first` on; the bus forgets it if it goes."""
    return ConsumerConfig(
        name=name,
        deliver_policy="by_start_sequence",
        opt_start_seq=first,
        ack_policy="none",
        inactive_threshold=INACTIVE_NS,
        num_replicas=1,
        mem_storage=True,
    )


class StoredMessage(msgspec.Struct, frozen=True):
    """A message of a stream, as far as it matters: its headers as they were sent, and what it carries."""

    hdrs: bytes = b""
    data: bytes = b""


class _Stored(msgspec.Struct, frozen=True):
    """An answer with a message; msgspec takes its bytes out of their base64."""

    message: StoredMessage = StoredMessage()
    error: ApiError | None = None


async def prepare(link: Link, settings: NatsSettings) -> None:
    """See that the bus has what is needed; a master makes it, with the reader of the journals.

    Raises UsageError if the bus has no JetStream or has streams of these names with other settings.
    """
    if not settings.is_master:
        await stream_info(link, f"{settings.prefix}-entries")
        return
    replicas = REPLICAS if link.is_of_cluster else 1
    for wanted in (entries_stream(settings, replicas), journal_stream(settings, replicas)):
        info = await stream_info(link, wanted.name)
        if info is None:
            await _make(link, wanted)
        else:
            await _check(link, info.config, wanted)
    config = ConsumerConfig(
        name=CONSUMER,
        durable_name=CONSUMER,
        deliver_policy="all",
        ack_policy="explicit",
        ack_wait=ACK_WAIT_NS,
        max_ack_pending=1,
    )
    await make_consumer(link, f"{settings.prefix}-journal", config)


async def stream_info(link: Link, stream: str) -> StreamInfo | None:
    """Return how a stream stands, None if there is none; raises UsageError without JetStream."""
    info = await _ask(link, f"STREAM.INFO.{stream}", b"", StreamInfo)
    if info.error is not None and info.error.err_code == NOT_FOUND:
        return None
    _expect_none(link, info.error)
    return info


async def make_consumer(link: Link, stream: str, config: ConsumerConfig) -> None:
    """Make a consumer; one that is there already with the same settings stays. Raises UnreachableError."""
    question = msgspec.json.encode(NewConsumer(stream, config))
    made = await _ask(link, f"CONSUMER.CREATE.{stream}.{config.name}", question, Made)
    _expect_none(link, made.error)


async def stored(link: Link, stream: str, sequence: int) -> StoredMessage | None:
    """Return a message, None if it is not there any more."""
    question = msgspec.json.encode({"seq": sequence})
    answer = await _ask(link, f"STREAM.MSG.GET.{stream}", question, _Stored)
    if answer.error is not None and answer.error.err_code == NO_MESSAGE:
        return None
    _expect_none(link, answer.error)
    return answer.message


async def _make(link: Link, wanted: StreamConfig) -> None:
    made = await _ask(link, f"STREAM.CREATE.{wanted.name}", msgspec.json.encode(wanted), Made)
    if made.error is not None and wanted.num_replicas > 1:
        raise UnreachableError(
            f"the bus cannot keep {wanted.name} on {wanted.num_replicas} servers, are they all up? "
            f"{made.error.description}"
        )
    _expect_none(link, made.error)


async def _check(link: Link, settings: msgspec.Raw, wanted: StreamConfig) -> None:
    """Compare settings; raises UsageError. A stream on fewer servers than there are now is given more."""
    found = _read(link, settings, StreamConfig)
    for name in ("subjects", "retention", "discard", "max_msgs_per_subject", "storage", "allow_atomic"):
        has, needs = getattr(found, name), getattr(wanted, name)
        if has != needs:
            raise UsageError(
                f"the stream {wanted.name} on the bus has {name} {has}, {needs} is needed: "
                "remove the stream, or choose another prefix"
            )
    if found.num_replicas < wanted.num_replicas:
        more = msgspec.json.decode(settings, type=dict[str, msgspec.Raw])
        more["num_replicas"] = msgspec.Raw(str(wanted.num_replicas).encode())
        made = await _ask(link, f"STREAM.UPDATE.{wanted.name}", msgspec.json.encode(more), Made)
        _expect_none(link, made.error)


async def _ask(link: Link, question: str, data: bytes, kind: type[T]) -> T:
    message = await link.request(f"$JS.API.{question}", data, timeout_s=API_S)
    if (message.headers or {}).get("Status") == NO_RESPONDERS:
        raise UsageError(
            f"the bus at {link.server} has no JetStream: add `jetstream {{}}` to its configuration"
        )
    return _read(link, message.data, kind)


def _read(link: Link, data: bytes | msgspec.Raw, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise UnreachableError(f"the bus at {link.server} answers what nobody understands") from error


def _expect_none(link: Link, error: ApiError | None) -> None:
    if error is None:
        return
    if error.err_code in NO_JETSTREAM:
        raise UsageError(f"the bus at {link.server} has no JetStream for this account: {error.description}")
    raise UnreachableError(f"the bus at {link.server} refuses: {error.description}")
