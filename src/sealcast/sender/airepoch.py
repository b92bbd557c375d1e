"""Owns the epoch on air at a sender: its session keys, when it ends, and what it carried."""

from dataclasses import dataclass

from sealcast.core.ids import Ssrc
from sealcast.core.ports import NS_PER_MS
from sealcast.keys.material import Tek
from sealcast.sender.actions import Cause
from sealcast.wire import srtp


@dataclass(slots=True)
class AirEpoch:
    """The epoch on air, with its session keys and its totals."""

    tek: Tek
    cause: Cause
    started_ns: int
    ends_ns: int
    rtp: srtp.StreamKey
    rtcp: srtp.SessionKey
    mki: bytes
    published: bool
    is_shared: bool = False
    """Whether it is the epoch of another run, which counts its time and changes its key."""

    packets: int = 0
    bytes: int = 0


def go_on_air(
    tek: Tek, cause: Cause, ssrc: Ssrc, lifetime_ms: int, now: int, *, is_published: bool
) -> AirEpoch:
    """Return the epoch of a key that a run with this SSRC goes on air under now."""
    return AirEpoch(
        tek=tek,
        cause=cause,
        started_ns=now,
        ends_ns=now + lifetime_ms * NS_PER_MS,
        rtp=srtp.derive_rtp(tek.key, tek.salt).stream(ssrc),
        rtcp=srtp.derive_rtcp(tek.key, tek.salt),
        mki=tek.key_id.pack(),
        published=is_published,
    )
