"""Owns the verdict of the demo: what the programs reported, held against what has to be so."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from sealcast.core.errors import FormatError
from sealcast.demo.run_bills import Bill, OnAir, Subscribers, bill_faults, bills_of
from sealcast.messages.invoicing import Invoice

FIRST_PACKET_MS_MAX = 500
"""A late joiner shows its first picture without a noticeable wait."""

JOINED_AT_ROC_MIN = 1
"""The demo's sequence numbers wrap early, so that a late joiner has to learn the rollover counter."""

CHUNK_BYTES = 1 << 20

Summary = TypeVar("Summary", bound=msgspec.Struct)


class SenderSummary(msgspec.Struct, frozen=True):
    """What `sealcast send --json` says at its end, as far as the verdict needs it."""

    packets: int
    bytes: int
    key_changes: int
    unsent: int = 0


class ReceiverSummary(msgspec.Struct, frozen=True):
    """What `sealcast receive --json` says at its end, as far as the verdict needs it."""

    packets_received: int
    packets_opened: int
    lost: int
    switch_lost: int
    key_changes: int
    joined_at_roc: int | None = None
    first_packet_ms: float | None = None


class SubscriberVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """A subscriber that was there from the start; `packets` = opened."""

    packets: int
    lost: int
    switch_lost: int
    key_changes: int
    sha256_matches: bool


class LateJoinerVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """A subscriber that came later; `first_packet_ms` counts from its join."""

    joined_at_roc: int | None
    first_packet_ms: float | None


class OutsiderVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """A registered device that does not subscribe."""

    packets_received: int
    packets_opened: int


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The one JSON object of `sealcast demo --json`."""

    subscribers: list[SubscriberVerdict]
    late_joiner: LateJoinerVerdict
    outsider: OutsiderVerdict
    on_air: OnAir
    bills: list[Bill]
    ok: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was observed: summaries, the input, the files that the subscribers wrote, their bills."""

    sender: SenderSummary
    subscribers: list[ReceiverSummary]
    late_joiner: ReceiverSummary
    outsider: ReceiverSummary
    source: Path
    outputs: list[Path]
    changes_min: int
    invoices: list[Invoice]
    billed: Subscribers


def judge(evidence: Evidence) -> tuple[Verdict, list[str]]:
    """Return the verdict, and a line for each thing that did not hold."""
    subscribers = [
        SubscriberVerdict(
            packets=summary.packets_opened,
            lost=summary.lost,
            switch_lost=summary.switch_lost,
            key_changes=summary.key_changes,
            sha256_matches=is_beginning_of(evidence.source, output, evidence.sender.bytes),
        )
        for summary, output in zip(evidence.subscribers, evidence.outputs, strict=True)
    ]
    late = LateJoinerVerdict(
        joined_at_roc=evidence.late_joiner.joined_at_roc, first_packet_ms=evidence.late_joiner.first_packet_ms
    )
    outsider = OutsiderVerdict(
        packets_received=evidence.outsider.packets_received, packets_opened=evidence.outsider.packets_opened
    )
    sender = evidence.sender
    air = OnAir(keys=sender.key_changes + 1, packets=sender.packets, bytes=sender.bytes)
    faults = [
        *(fault for i, each in enumerate(subscribers, 1) for fault in _subscriber_faults(i, each, evidence)),
        *_late_faults(late),
        *_outsider_faults(outsider),
        *bill_faults(evidence.invoices, evidence.billed, air),
    ]
    bills = bills_of(evidence.invoices)
    verdict = Verdict(
        subscribers=subscribers, late_joiner=late, outsider=outsider, on_air=air, bills=bills, ok=not faults
    )
    return verdict, faults


def read_summary(text: str, kind: type[Summary]) -> Summary:
    """Read the last line that a program printed with --json; raises FormatError."""
    last = (text.strip().splitlines() or [""])[-1]
    try:
        return msgspec.json.decode(last, type=kind)
    except msgspec.MsgspecError as error:
        raise FormatError(f"a program ended without its summary: {error}") from error


def is_beginning_of(source: Path, output: Path, size_bytes: int) -> bool:
    """Whether `output` has `size_bytes` bytes, and they are the first ones of `source`, by SHA-256."""
    if output.stat().st_size != size_bytes or source.stat().st_size < size_bytes:
        return False
    return _sha256(source, size_bytes) == _sha256(output, size_bytes)


def _sha256(path: Path, size_bytes: int) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while size_bytes > 0 and (chunk := file.read(min(CHUNK_BYTES, size_bytes))):
            digest.update(chunk)
            size_bytes -= len(chunk)
    return digest.digest()


def _subscriber_faults(number: int, subscriber: SubscriberVerdict, evidence: Evidence) -> list[str]:
    faults = []
    if subscriber.lost or subscriber.packets != evidence.sender.packets:
        faults.append(
            f"subscriber {number} opened {subscriber.packets} of {evidence.sender.packets} packets,"
            f" {subscriber.lost} lost, {subscriber.switch_lost} of them at a change"
        )
    if subscriber.key_changes < evidence.changes_min:
        faults.append(
            f"subscriber {number} saw {subscriber.key_changes} key changes, not {evidence.changes_min}"
        )
    if not subscriber.sha256_matches:
        faults.append(f"what subscriber {number} wrote is not what was sent")
    return faults


def _late_faults(late: LateJoinerVerdict) -> list[str]:
    faults = []
    if late.joined_at_roc is None or late.joined_at_roc < JOINED_AT_ROC_MIN:
        faults.append(f"the late joiner joined at ROC {late.joined_at_roc}, not after the wrap")
    if late.first_packet_ms is None or late.first_packet_ms > FIRST_PACKET_MS_MAX:
        faults.append(f"the late joiner's first packet took {late.first_packet_ms} ms")
    return faults


def _outsider_faults(outsider: OutsiderVerdict) -> list[str]:
    faults = []
    if not outsider.packets_received:
        faults.append("the outsider received nothing, so that it opened nothing shows nothing")
    if outsider.packets_opened:
        faults.append(f"the outsider opened {outsider.packets_opened} packets")
    return faults
