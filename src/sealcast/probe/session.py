"""Owns a probe without I/O: datagrams of both ports in, a report out.

Calling order: `handle_data` and `handle_control` as datagrams arrive, `report` at any time. Every table is
bounded, so a flood of invented SSRCs and key IDs costs a fixed amount of memory.
"""

from collections import Counter

from sealcast.core.ids import KEY_ID_BYTES, KeyId
from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.probe.control import DataView, SealJudge
from sealcast.probe.evidence import Evidence
from sealcast.probe.looks import Look, look_at
from sealcast.probe.report import KeyIdReport, ProbeReport, SealReport, StreamReport
from sealcast.probe.sequence import SequenceTracker
from sealcast.wire.seal import Seal
from sealcast.wire.srtp import OVERHEAD_BYTES

STREAMS_MAX = 16
"""SSRCs followed; packets of further ones are counted together."""

KEY_IDS_MAX = 32
RATE_NS_MIN = NS_PER_S // 2
"""Over less than this a rate would say more about the socket than about the stream."""

KEY_SERVER_CHARS_MAX = 200


class _Stream:
    """One SSRC."""

    __slots__ = ("key_ids", "payload_types", "sequence")

    def __init__(self) -> None:
        self.sequence = SequenceTracker()
        self.payload_types: set[int] = set()
        self.key_ids: Counter[bytes] = Counter()


class ProbeSession:
    """Listens to one stream without a key."""

    def __init__(self) -> None:
        self._evidence = Evidence()
        self._judge = SealJudge()
        self._streams: dict[int, _Stream] = {}
        self._others = 0
        self._not_rtp = 0
        self._bytes = 0
        self._first_ns: int | None = None
        self._last_ns = 0

    def handle_data(self, datagrams: list[bytes], now: int) -> None:
        """Take datagrams of the data port."""
        if datagrams and self._first_ns is None:
            self._first_ns = now
        for datagram in datagrams:
            self._last_ns = now
            self._bytes += len(datagram)
            look = look_at(datagram)
            self._evidence.add(look)
            self._follow(look)

    def handle_control(self, datagram: bytes, now: int) -> None:
        """Take a datagram of the control port."""
        self._judge.take(datagram, self._view_of, now)

    def report(self, *, target: str, interface: str, listened_ns: int, now: int) -> ProbeReport:
        """Return what was heard so far."""
        verdict = self._evidence.verdict()
        span_ns = self._last_ns - self._first_ns if self._first_ns is not None else 0
        span_s = span_ns / NS_PER_S if span_ns >= RATE_NS_MIN else None
        return ProbeReport(
            target=target,
            interface=interface,
            listened_s=listened_ns / NS_PER_S,
            protection=verdict.protection,
            why=verdict.why,
            suite=verdict.suite,
            packets=self._evidence.packets,
            payload_bytes=self._bytes,
            packets_per_s=self._evidence.packets / span_s if span_s else None,
            mbit_per_s=self._bytes * 8 / span_s / 1e6 if span_s else None,
            not_rtp=self._not_rtp,
            streams=tuple(_stream_report(ssrc, stream) for ssrc, stream in self._streams.items()),
            other_streams=self._others,
            key_ids=self._key_ids(),
            seal=self._seal_report(now),
        )

    def _follow(self, look: Look) -> None:
        if look.header is None:
            self._not_rtp += 1
            return
        stream = self._streams.get(look.header.ssrc)
        if stream is None:
            if len(self._streams) == STREAMS_MAX:
                self._others += 1
                return
            stream = self._streams[look.header.ssrc] = _Stream()
        stream.sequence.add(look.header.seq)
        stream.payload_types.add(look.header.payload_type)
        ending = look.payload[-KEY_ID_BYTES:]
        is_sealed = not look.ts_packets and len(look.payload) >= OVERHEAD_BYTES
        if is_sealed and (ending in stream.key_ids or len(stream.key_ids) < KEY_IDS_MAX):
            stream.key_ids[ending] += 1

    def _has_key_ids(self) -> bool:
        return self._evidence.mki_bytes() == KEY_ID_BYTES

    def _view_of(self, ssrc: int) -> DataView:
        stream = self._streams.get(ssrc)
        spoken = [stream] if stream is not None else list(self._streams.values())
        endings = {ending for one in spoken for ending in one.key_ids}
        seen = frozenset(map(KeyId.unpack, endings)) if self._has_key_ids() else None
        if stream is None:
            return DataView(None, 0, seen, self._first_ns)
        return DataView(stream.sequence.highest_seq, stream.sequence.packets, seen, self._first_ns)

    def _key_ids(self) -> tuple[KeyIdReport, ...]:
        """Return the key IDs in the order in which they came, over all SSRCs."""
        if not self._has_key_ids():
            return ()
        total: Counter[bytes] = Counter()
        for stream in self._streams.values():
            total.update(stream.key_ids)
        return tuple(_key_id_report(KeyId.unpack(mki), count) for mki, count in total.items())

    def _seal_report(self, now: int) -> SealReport:
        judge = self._judge
        oddities = {str(oddity): count for oddity, count in judge.oddities.items()}
        if judge.last is None:
            return SealReport(judge.packets, judge.sensible, oddities, judge.senders)
        seal, at_ns = judge.last
        passed_ms = (now - at_ns) // NS_PER_MS
        coming = seal.next
        return SealReport(
            packets=judge.packets,
            sensible=judge.sensible,
            oddities=oddities,
            senders=judge.senders,
            current=_key_id_report(seal.current, 0),
            remaining_ms=max(0, seal.remaining_ms - passed_ms),
            lifetime_ms=seal.lifetime_ms,
            extended=seal.extended,
            next_epoch=coming.key_id.epoch if coming else None,
            switch_in_ms=max(0, coming.switch_in_ms - passed_ms) if coming else None,
            key_servers=_printable(seal),
            ended=seal.bye,
        )


def _printable(seal: Seal) -> tuple[str, ...]:
    """Return the key servers' addresses fit for a terminal: they are a stranger's words."""
    return tuple(
        "".join(c if c.isprintable() else "?" for c in url[:KEY_SERVER_CHARS_MAX]) for url in seal.key_servers
    )


def _stream_report(ssrc: int, stream: _Stream) -> StreamReport:
    sequence = stream.sequence
    return StreamReport(
        ssrc=f"{ssrc:08x}",
        payload_types=tuple(sorted(stream.payload_types)),
        packets=sequence.packets,
        lost=sequence.lost,
        reordered=sequence.reordered,
        duplicates=sequence.duplicates,
        restarts=sequence.jumps,
    )


def _key_id_report(key_id: KeyId, packets: int) -> KeyIdReport:
    return KeyIdReport(str(key_id), key_id.channel, key_id.epoch, packets)
