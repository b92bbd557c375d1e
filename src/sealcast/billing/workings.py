"""Owns how a line of a bill is explained in words: how units and prices come to an amount."""

from sealcast.billing.periods import Period
from sealcast.billing.rating import Line
from sealcast.billing.timeline import Timeline
from sealcast.ledger.money import format_micro


def explain(line: Line, period: Period, timeline: Timeline | None) -> str:
    """Return the workings of a line in words."""
    if line.charge is None or timeline is None:
        return "charged no more"
    _ = period.length_ms
    return f"{line.charge.units} {line.charge.quantity} = {format_micro(line.charge.micro)}"
