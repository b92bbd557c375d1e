"""Owns the picture of a day: requests a second, beside the even share of a window and the most allowed."""

from pathlib import Path

from sealcast.bench.day import PEAK_MAX, Day
from sealcast.bench.sweep import require_plotting
from sealcast.core.errors import UsageError

HOUR_S = 3_600
TOP = 1.3 * PEAK_MAX
"""Room above the lines for the legend."""


def draw_day(day: Day, path: Path) -> None:
    """Draw each second of a day into a PNG file; raises UsageError where that cannot be."""
    require_plotting()
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import, and not always there

    figure = Figure(figsize=(10, 4), layout="constrained")
    axes = figure.add_subplot()
    hours = [second / HOUR_S for second in range(len(day.per_s))]
    axes.plot(hours, day.per_s, linewidth=0.4, color="tab:blue", label="requests in a second")
    axes.axhline(day.even_per_s, linestyle="--", color="tab:green", label="receivers / window")
    axes.axhline(PEAK_MAX * day.even_per_s, linestyle="--", color="tab:red", label=f"{PEAK_MAX:g} times that")
    axes.set(xlabel="hours", ylabel="requests a second", xlim=(0, hours[-1]), ylim=(0, TOP * day.even_per_s))
    axes.set_title(f"{day.receivers:,} receivers, {day.epochs} key changes")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(loc="upper right")
    try:
        figure.savefig(path, format="png", dpi=120)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
