"""Decides which of several runs on air under one epoch makes the next key: one leads, the others follow it.

| heard lately under the epoch on air              | who leads                                    |
|--------------------------------------------------|----------------------------------------------|
| the run whose epoch it is                        | that one                                     |
| only runs beside it                              | the one with the lowest SSRC                 |
| nobody                                           | whoever asks, with a start of its own        |
"""

from sealcast.keyserver.air import AirState
from sealcast.keyserver.service_keys import OnAir
from sealcast.keyserver.values import ChannelView


def shared_air(view: ChannelView, air: AirState, ssrc: int | None, now: int) -> tuple[OnAir, int, bool]:
    """Return what is on air, how many other runs were heard lately, and whether the run `ssrc` leads."""
    row, number = view.on_air, view.spec.number
    if row is None:
        return OnAir(None, {}), 0, ssrc is not None
    runs = air.runs(number, row.epoch)
    others = air.others(number, row.epoch, ssrc, now)
    is_led = any(not report.is_shared for report in others.values())
    is_lowest = ssrc is not None and all(ssrc < other for other in others)
    return OnAir(air.latest(number, row.epoch), runs), len(others), is_lowest and not is_led
