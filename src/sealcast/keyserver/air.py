"""Owns what is known, in memory, of the streams on air: the last report of each run."""

from dataclasses import dataclass

from sealcast.core.ids import ChannelNumber, Epoch, Ssrc
from sealcast.core.ports import NS_PER_MS

HEARD_LATELY_MS = 15_000
"""A run on air reports every 5 s: one that missed three reports in a row may be no more."""


@dataclass(frozen=True, slots=True)
class AirReport:
    """What a sender said of its stream, `received_ns` by our monotonic clock."""

    epoch: Epoch
    remaining_ms: int
    lifetime_ms: int
    extended: bool
    roc: int
    seq: int
    received_ns: int
    is_shared: bool = False
    """Whether the run is beside another that makes the keys; not known of one from before a restart."""

    def remaining_now_ms(self, now: int) -> int:
        """Return what is left of the epoch, 0 at least."""
        return max(0, self.remaining_ms - self.age_ms(now))

    def age_ms(self, now: int) -> int:
        """Return how old the report is."""
        return max(0, (now - self.received_ns) // NS_PER_MS)


@dataclass(frozen=True, slots=True)
class StoredReport:
    """A report as it stands in the database, by the wall clock: all that is left after a restart."""

    channel: ChannelNumber
    ssrc: Ssrc
    epoch: Epoch
    remaining_ms: int
    lifetime_ms: int
    extended: bool
    roc: int
    seq: int
    reported_at_ms: int


class AirState:
    """The last report of every run on air, by channel and SSRC."""

    def __init__(self) -> None:
        self._channels: dict[ChannelNumber, dict[Ssrc, AirReport]] = {}
        self.changes = 0
        """Rises whenever anything here changes."""

    @property
    def channels(self) -> int:
        """How many channels are on air."""
        return len(self._channels)

    def note(self, channel: ChannelNumber, ssrc: Ssrc, report: AirReport) -> None:
        """Take in a report; runs under an older epoch are over."""
        self.changes += 1
        runs = self._channels.get(channel, {})
        kept = {other: known for other, known in runs.items() if known.epoch >= report.epoch}
        self._channels[channel] = {**kept, ssrc: report}

    def drop(self, channel: ChannelNumber, ssrc: Ssrc) -> None:
        """Drop one run: it has ended, and others go on."""
        self.changes += 1
        self._channels.get(channel, {}).pop(ssrc, None)

    def forget(self, channel: ChannelNumber) -> None:
        """Drop a channel: nothing of it is on air."""
        self.changes += 1
        self._channels.pop(channel, None)

    def runs(self, channel: ChannelNumber, epoch: Epoch) -> dict[Ssrc, AirReport]:
        """Return the reports of the runs that are on air under `epoch`."""
        runs = self._channels.get(channel, {})
        return {ssrc: report for ssrc, report in runs.items() if report.epoch == epoch}

    def others(
        self, channel: ChannelNumber, epoch: Epoch, ssrc: int | None, now: int
    ) -> dict[Ssrc, AirReport]:
        """Return the runs under `epoch` that were heard lately, but for one."""
        return {
            other: report
            for other, report in self.runs(channel, epoch).items()
            if other != ssrc and report.age_ms(now) <= HEARD_LATELY_MS
        }

    def latest(self, channel: ChannelNumber, epoch: Epoch) -> AirReport | None:
        """Return the newest report under `epoch`."""
        return max(self.runs(channel, epoch).values(), key=lambda r: r.received_ns, default=None)

    def restore(self, stored: StoredReport, now: int, wall_ms: int) -> None:
        """Take in a report from before a restart; the wall clock says how old it is, and may err."""
        age_ns = max(0, wall_ms - stored.reported_at_ms) * NS_PER_MS
        report = AirReport(
            epoch=stored.epoch,
            remaining_ms=stored.remaining_ms,
            lifetime_ms=stored.lifetime_ms,
            extended=stored.extended,
            roc=stored.roc,
            seq=stored.seq,
            received_ns=now - age_ns,
        )
        self.note(stored.channel, stored.ssrc, report)
