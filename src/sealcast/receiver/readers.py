"""Owns which reader takes a channel's packets, where it is not the one of sealed packets with key IDs."""

from collections.abc import Callable
from dataclasses import dataclass

from sealcast.core.channel import ChannelSpec, Framing
from sealcast.receiver.descrambling import HeldPatterns, ScrambledReader
from sealcast.receiver.keyless import KeylessReader, NoteOpened, NoteUnproven
from sealcast.receiver.keyring import KeyRing
from sealcast.receiver.pending import PendingPackets
from sealcast.receiver.stats import ReceiverStats
from sealcast.receiver.streams import Stream

Reader = ScrambledReader | KeylessReader


@dataclass(frozen=True, slots=True)
class Parts:
    """What a session lends its readers; trains are received in `buffer`."""

    ring: KeyRing
    streams: dict[int, Stream]
    pending: PendingPackets
    buffer: memoryview
    stats: ReceiverStats


def reader_of(
    spec: ChannelSpec,
    parts: Parts,
    hold: Callable[[list[bytes], int], None],
    ask: Callable[[int], None],
    noted: tuple[NoteOpened, NoteUnproven],
) -> Reader | None:
    """Return a channel's reader; None where `TrainReader` is the one.

    `hold` takes packets that name a key that is not held, and now; `ask`, with now, has the key server asked.
    """
    ring, streams, pending, buffer, stats = (
        parts.ring,
        parts.streams,
        parts.pending,
        parts.buffer,
        parts.stats,
    )
    if spec.framing is not Framing.KEYED:
        patterns = None if spec.patterns is None else HeldPatterns(spec.patterns, ring)
        return KeylessReader(
            spec, ring, streams, pending, patterns=patterns, ask=ask, noted=noted, buffer=buffer, stats=stats
        )
    if spec.patterns is None:
        return None
    return ScrambledReader(
        spec.patterns, ring, streams, pending, ask=hold, note_opened=noted[1], buffer=buffer, stats=stats
    )
