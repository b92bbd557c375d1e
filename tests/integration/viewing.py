"""Owns random viewers: each step one of them begins, ends, dies, or loses or finds its connection."""

import json
import math
import random
import signal
import time
from collections import Counter

from integration.machines import FACT_S
from integration.receptions import GROUPS, Audience, Pairs
from lab.hosts import wait_until
from lab.warm import Actor

CUT_SHARE = 0.25
CUT_MAX = 3
PAUSE_S_MAX = 0.2
FRESH_S = 3.0
"""pimd forgets a silent member after 12 s, but one that it heard a single time after 46 s; Linux reports each
join twice, within a second. Who has just joined is not cut off."""

CALM_S = 5.0
"""So long after a cut leg was mended, its connections may need more time than an end has."""


class Viewing:
    """Takes steps and knows who should receive; the same seed takes the same steps."""

    def __init__(self, audience: Audience, seed: int) -> None:
        self._audience = audience
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._watching: dict[tuple[str, str], Actor] = {}
        self._leaving: list[tuple[Actor, str, float]] = []
        self._cut: set[str] = set()
        self._joined_s: dict[str, float] = {}
        self._shaken_s: dict[str, float] = {}
        self.counts: Counter[str] = Counter()

    def step(self) -> None:
        """Take one step, then wait a moment."""
        device = self._random.choice(list(self._audience.viewers))
        is_fresh = time.monotonic() < self._joined_s.get(device, -math.inf) + FRESH_S
        if self._random.random() < CUT_SHARE and (device in self._cut or not is_fresh):
            self._cut_or_mend(device)
        else:
            pair = (device, self._random.choice(list(GROUPS)))
            if pair in self._watching:
                self._leave_or_die(pair)
            else:
                self._join(*pair)
        time.sleep(self._random.uniform(0, PAUSE_S_MAX))

    def wanted(self) -> Pairs:
        """Return who should receive once all timeouts are over."""
        return {pair for pair in self._watching if pair[0] not in self._cut}

    def check(self, timeout_s: float) -> str:
        """Wait until router, record and what the operator is shown all have those who should receive.

        Returns what agreed last.
        """
        last = self._audience.wait_for_agreement(self.wanted(), timeout_s)
        shown = json.loads(self._audience.operate("receptions", "--json"))
        assert {(row["device"], row["channel"]) for row in shown["receptions"]} == self.wanted()
        for actor in self._watching.values():
            assert actor.running(), actor.err
        self._check_ends()
        return last

    def end(self) -> None:
        """Mend what is cut, end who watches, and wait until nobody does, as the record has it."""
        for device in sorted(self._cut):
            self._cut_or_mend(device)
        for pair in list(self._watching):
            self._leave(pair)
        wait_until(lambda: not self._audience.live(), "the end of all receptions", FACT_S)
        self._check_ends()

    def _join(self, device: str, channel: str) -> None:
        by_address = self._random.random() < 0.5
        self.counts["join by address" if by_address else "join by name"] += 1
        self._joined_s[device] = time.monotonic()
        self._watching[device, channel] = self._audience.receive(
            device, channel, "--wait", by_address=by_address
        )

    def _leave_or_die(self, pair: tuple[str, str]) -> None:
        if self._random.random() < 0.5:
            self.counts["kill"] += 1
            self._watching.pop(pair).send_signal(signal.SIGKILL)
        else:
            self._leave(pair)

    def _leave(self, pair: tuple[str, str]) -> None:
        self.counts["leave"] += 1
        actor = self._watching.pop(pair)
        actor.send_signal(signal.SIGTERM)
        self._leaving.append((actor, pair[0], time.monotonic()))

    def _cut_or_mend(self, device: str) -> None:
        host = self._audience.viewers[device].host
        if device in self._cut:
            self.counts["mend"] += 1
            self._cut.remove(device)
            self._shaken_s[device] = time.monotonic()
            self._audience.lab.mend(host)
        elif len(self._cut) < CUT_MAX:
            self.counts["cut"] += 1
            self._cut.add(device)
            self._shaken_s[device] = math.inf
            self._audience.lab.cut(host)

    def _check_ends(self) -> None:
        """All who left have ended well; count what they were told."""
        leaving, self._leaving = self._leaving, []
        for actor, device, left_s in leaving:
            is_shaken = self._shaken_s.get(device, -CALM_S) + CALM_S > left_s
            wait_until(lambda actor=actor: not actor.running(), f"the end of {actor.name}", FACT_S)
            summary = actor.wait()
            # One that was told to end before it had begun has no summary.
            end = json.loads(summary)["reception"] if summary else None
            if end is None:
                self.counts["end without a reception"] += 1
            elif end["acknowledged"]:
                self.counts["acknowledged"] += 1
            else:
                self.counts["cut off, not acknowledged" if is_shaken else "not acknowledged"] += 1
