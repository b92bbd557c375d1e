"""Owns the picture of a day: requests a second beside the even share and the most allowed, and replicas'."""

from collections.abc import Sequence
from pathlib import Path

from sealcast.bench.day import HOUR_MS, PEAK_MAX, Day
from sealcast.bench.sites import Outage
from sealcast.bench.sweep import require_plotting
from sealcast.core.errors import UsageError

HOUR_S = 3_600
TOP = 1.3 * PEAK_MAX
"""Room above the lines for the legend."""


def draw_day(day: Day, path: Path, outages: Sequence[Outage] = ()) -> None:
    """Draw each second of a day into a PNG file; raises UsageError where that cannot be."""
    require_plotting()
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import, and not always there

    shares = day.replicas_per_s if len(day.replicas_per_s) > 1 else []
    heights = [3.0, *[1.0] * len(shares)]
    figure = Figure(figsize=(10, 1 + sum(heights)), layout="constrained")
    axes, *below = figure.subplots(len(heights), sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    hours = [second / HOUR_S for second in range(len(day.per_s))]
    axes.plot(hours, day.per_s, linewidth=0.4, color="tab:blue", label="requests in a second")
    axes.axhline(day.even_per_s, linestyle="--", color="tab:green", label="receivers / window")
    axes.axhline(PEAK_MAX * day.even_per_s, linestyle="--", color="tab:red", label=f"{PEAK_MAX:g} times that")
    axes.set(ylabel="requests a second", xlim=(0, hours[-1]), ylim=(0, TOP * day.even_per_s))
    axes.set_title(f"{day.receivers:,} receivers, {day.epochs} key changes")
    axes.legend(loc="upper right")
    for number, (each, per_s) in enumerate(zip(below, shares, strict=True), start=1):
        each.plot(hours, per_s, linewidth=0.4, color="tab:blue")
        each.set(ylabel=f"replica {number}", ylim=(0, 1.1 * max(day.replica_peaks_per_s)))
        for outage in [outage for outage in outages if outage.replica == number]:
            each.axvspan(outage.begin_ms / HOUR_MS, outage.end_ms / HOUR_MS, alpha=0.3, color="tab:red")
    for each in (axes, *below):
        each.grid(visible=True, which="major", alpha=0.3)
    (below or [axes])[-1].set_xlabel("hours")
    try:
        figure.savefig(path, format="png", dpi=120)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
