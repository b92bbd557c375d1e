"""Owns what a probe reports: plain values, all of them hearsay, since nothing was verified."""

from dataclasses import dataclass

from sealcast.probe.evidence import Protection


@dataclass(frozen=True, slots=True)
class StreamReport:
    """One SSRC as its sequence numbers tell it; `ssrc` in hexadecimal."""

    ssrc: str
    payload_types: tuple[int, ...]
    packets: int
    lost: int
    reordered: int
    duplicates: int
    restarts: int


@dataclass(frozen=True, slots=True)
class KeyIdReport:
    """One key ID at the end of packets: `key_id` in hexadecimal, and what it is taken apart."""

    key_id: str
    channel: int
    epoch: int
    packets: int


@dataclass(frozen=True, slots=True)
class SealReport:
    """The control port: what the last SEAL packet that stands to reason says, times as of the report."""

    packets: int
    sensible: int
    oddities: dict[str, int]
    senders: int
    current: KeyIdReport | None = None
    remaining_ms: int | None = None
    lifetime_ms: int | None = None
    extended: bool = False
    next_epoch: int | None = None
    switch_in_ms: int | None = None
    key_servers: tuple[str, ...] = ()
    ended: bool = False


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What was heard; rates are of the time between the first packet and the last."""

    target: str
    interface: str
    listened_s: float
    protection: Protection
    why: str
    suite: str | None
    packets: int
    payload_bytes: int
    packets_per_s: float | None
    mbit_per_s: float | None
    not_rtp: int
    streams: tuple[StreamReport, ...]
    other_streams: int
    key_ids: tuple[KeyIdReport, ...]
    seal: SealReport
    kernel_drops: int | None = None
    verified: bool = False
    """Always so: without a key nothing is proven."""

    @property
    def heard(self) -> bool:
        """Whether anything came on either port."""
        return bool(self.packets or self.seal.packets)
