"""Owns the demo's picture: who is there, under which epoch, and how much came through; knows no terminal."""

from dataclasses import dataclass

from sealcast.demo.run_program import News

BAR_CELLS = 10
"""Width of the bar that shows how much of an epoch is left."""


@dataclass(frozen=True, slots=True)
class Row:
    """One party as shown: name, what it does, its epoch, and how it goes."""

    name: str
    state: str
    epoch: str
    detail: str


def sender_row(name: str, news: News | None, lifetime_ms: int, *, ended: bool = False) -> Row:
    """Return the row of the sender."""
    if news is None or news.epoch is None:
        return Row(name, "starting", "", "")
    detail = f"{news.packets} packets, {news.key_changes} key changes"
    if ended:
        return Row(name, "ended", "", detail)
    cells = max(0, min(BAR_CELLS, round(BAR_CELLS * news.remaining_ms / lifetime_ms)))
    bar = "█" * cells + "░" * (BAR_CELLS - cells)
    state = "extended" if news.extended else "next key out" if news.next_epoch is not None else "on air"
    return Row(name, state, f"{news.epoch} {bar} {news.remaining_ms / 1000:4.1f} s", detail)


def receiver_row(name: str, news: News | None, *, expected: bool, ended: bool) -> Row:
    """Return the row of a receiver; `expected` is one that has not started yet."""
    if news is None:
        return Row(name, "comes later" if expected else "starting", "", "")
    detail = f"{news.packets_opened} of {news.packets_received} opened, {news.lost} lost"
    if ended:
        return Row(name, "ended", "", detail)
    if news.epoch is None:
        return Row(name, "no key", "", detail)
    return Row(name, "next key held" if news.next_key else "receiving", str(news.epoch), detail)
