"""Owns the picture of what a change costs: bytes against the number of receivers, both on log scales."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from sealcast.bench.schedules import Case, Cost
from sealcast.bench.sweep import require_plotting
from sealcast.core.errors import UsageError

FETCH_COLOUR, FRESH_COLOUR = "tab:red", "tab:orange"
KILO = 1_000
CHAIN_COLOURS = ("tab:blue", "tab:green", "tab:purple", "tab:cyan", "tab:olive", "tab:pink")


def draw_costs(costs: Sequence[Cost], fresh_epochs: int, path: Path) -> None:
    """Draw `fetch`, `chain` for each number of repeats, and a chain with its fresh starts, into a PNG file.

    Every `fresh_epochs`-th change of a chain is a fresh start. Raises UsageError where matplotlib is missing
    or the file cannot be written.
    """
    require_plotting()
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import, and not always there

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for label, colour, dashes, line in _lines(costs, fresh_epochs):
        axes.plot(
            [receivers for receivers, _ in line],
            [size_bytes for _, size_bytes in line],
            marker="o",
            markersize=4,
            linestyle=dashes,
            color=colour,
            label=label,
        )
    axes.set_xscale("log")
    sizes = sorted({cost.receivers for cost in costs})
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.set_xticks([], minor=True)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: _as_bytes(value))
    axes.set(xlabel="receivers", ylabel="SEAL packets once, key requests and grants of all")
    axes.set_title("Traffic of a key change")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend()
    try:
        figure.savefig(path, format="png", dpi=120)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


_Line = tuple[str, str, str, list[tuple[int, float]]]
"""Label, colour, dashes, and bytes by receivers."""


def _lines(costs: Sequence[Cost], fresh_epochs: int) -> Iterable[_Line]:
    fetch = _bytes_of(costs, Case.FETCH)
    yield "fetch", FETCH_COLOUR, "-", list(fetch.items())
    repeats = sorted({cost.repeats for cost in costs if cost.case is Case.CHAIN})
    fresh, most = _bytes_of(costs, Case.FRESH), _bytes_of(costs, Case.CHAIN, repeats[-1])
    mean = [
        (receivers, (most[receivers] * (fresh_epochs - 1) + fresh[receivers]) / fresh_epochs)
        for receivers in fresh
    ]
    if fresh_epochs > 1:
        label = f"chain, {repeats[-1]} repeats, the mean with one fresh start in {fresh_epochs} changes"
        yield label, FRESH_COLOUR, "--", mean
    for number, colour in zip(repeats, CHAIN_COLOURS, strict=False):
        line = list(_bytes_of(costs, Case.CHAIN, number).items())
        yield f"chain, {number} repeats", colour, "-", line


def _as_bytes(value: float) -> str:
    """Return a power of ten as people read it."""
    for unit in ("B", "kB", "MB"):
        if value < KILO:
            return f"{value:g} {unit}"
        value /= KILO
    return f"{value:g} GB"


def _bytes_of(costs: Sequence[Cost], case: Case, repeats: int = 0) -> dict[int, float]:
    return {
        cost.receivers: float(cost.total_bytes)
        for cost in costs
        if cost.case is case and cost.repeats == repeats
    }
