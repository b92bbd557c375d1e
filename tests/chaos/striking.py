"""Owns carrying a plan out on a site: each fault at its time, and undone at its end."""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import psycopg

from chaos.judge import Removal
from chaos.plan import MASTER, STANDBY, Fault, Kind
from chaos.services import START_S
from chaos.site import CHANNELS, LAYOUT, Site
from cli.terminal import Result
from lab.hosts import LabError, wait_until

REMOVAL_S_MAX = 45.0
"""An operator whose command is refused, because no master answers, types it again for so long."""

AGAIN_S = 1.0
LOOK_S = 0.2


@dataclass(slots=True)
class Strikes:
    """The faults of one run; `done` are those that came, with who they hit, from `began_ns` on."""

    site: Site
    devices: list[str]
    began_ns: int = 0
    done: list[Fault] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)
    restarts: list[str] = field(default_factory=list)
    _pool: ThreadPoolExecutor = field(default_factory=ThreadPoolExecutor)
    _under_way: list[Future[None]] = field(default_factory=list)
    _starting: list[tuple[str, Fault]] = field(default_factory=list)
    _master: str = LAYOUT.masters[0]

    def carry_out(self, plan: list[Fault], seconds: float) -> None:
        """Strike as planned, and return when all is undone and `seconds` are over."""
        self.began_ns = time.monotonic_ns()
        steps: list[tuple[float, Callable[[], None]]] = []
        for fault in plan:
            # Who is master is known when it is time.
            hit: list[Fault] = []
            steps.append((fault.at_s, lambda fault=fault, hit=hit: hit.append(self._begin(fault))))
            steps.append((fault.until_s, lambda hit=hit: self._end(hit[0])))
        for at_s, step in sorted(steps, key=lambda step: step[0]):
            self._sleep_until(at_s)
            step()
        self._sleep_until(seconds)
        for each in self._under_way:
            each.result(REMOVAL_S_MAX)
        self._pool.shutdown()
        wait_until(self._all_started, "all programs to be back", START_S)

    def _all_started(self) -> bool:
        self._note_started()
        return not self._starting

    def now_s(self) -> float:
        """Return how long the run has lasted."""
        return (time.monotonic_ns() - self.began_ns) / 1e9

    def _sleep_until(self, at_s: float) -> None:
        while (left_s := at_s - self.now_s()) > 0:
            self._note_started()
            time.sleep(min(LOOK_S, left_s))

    def _begin(self, fault: Fault) -> Fault:
        """Strike, and return the fault with the names of those that it hit."""
        fault = replace(fault, what=tuple(map(self._named, fault.what)))
        print(f"{self.now_s():6.1f} s  {fault.title}: {fault.kind} {' '.join(fault.what)}", flush=True)
        first, *others = fault.what
        if fault.kind is Kind.KILL:
            for name in fault.what:
                self.site.kill(name)
        elif fault.kind is Kind.CUT:
            self.site.land.cut(first, *others)
        elif fault.kind is Kind.FULL:
            self.site.disks[first].fill()
        elif fault.kind is Kind.REMOVE:
            device = self.devices.pop(int(first) % len(self.devices))
            self._under_way.append(self._pool.submit(self._remove, device))
        return replace(fault, at_s=self.now_s())

    def _end(self, fault: Fault) -> None:
        """Undo a fault and write it down."""
        first, *others = fault.what
        if fault.kind is Kind.KILL:
            for name in fault.what:
                self.site.start(name)
                self._starting.append((name, fault))
        elif fault.kind is Kind.CUT:
            self.site.land.mend(first, *others)
        elif fault.kind is Kind.FULL:
            self.site.disks[first].free()
        if fault.lasts_s:
            print(f"{self.now_s():6.1f} s  {fault.title}: undone", flush=True)
        if fault.kind is not Kind.KILL:
            self.done.append(replace(fault, lasts_s=self.now_s() - fault.at_s))

    def _note_started(self) -> None:
        """Count programs that were started as away until they are ready: a busy machine takes its time.

        One that ended, as a sender does that finds no key server, is started again, as by a service manager.
        """
        for name, fault in tuple(self._starting):
            if not self.site.is_running(name):
                print(f"{self.now_s():6.1f} s  {name} is started again", flush=True)
                self.site.start(name)
                self.restarts.append(name)
            elif self.site.is_ready(name):
                self._starting.remove((name, fault))
                self.done.append(replace(fault, what=(name,), lasts_s=self.now_s() - fault.at_s))

    def _named(self, name: str) -> str:
        """Return who it is by now, of the names that stand for whoever is master."""
        if name not in {MASTER, STANDBY}:
            return name
        # While the database is down it is who it was.
        with contextlib.suppress(psycopg.OperationalError):
            self._master = self.site.master()
        return next(each for each in LAYOUT.masters if (each == self._master) == (name == MASTER))

    def _remove(self, device: str) -> None:
        """Take a device off its list, as an operator does who wants it out at once."""
        number = int(device.rpartition("-")[2]) - 1
        channel = list(CHANNELS)[number % len(CHANNELS)]
        asked_ns = time.monotonic_ns()
        command = ("subscriber", "remove", channel, device, "--now", "--json")
        until_ns = asked_ns + int(REMOVAL_S_MAX * 1e9)
        while True:
            try:
                result = self.site.office.run(*command)
            except subprocess.TimeoutExpired as error:
                result = Result(1, "", str(error))
            # An answer that was lost left its mark all the same.
            fence = (
                json.loads(result.out)["fence_epoch"] if result.status == 0 else self.site.fence_of(device)
            )
            if fence is not None:
                break
            print(f"{self.now_s():6.1f} s  {device} is not removed: {result.err.strip()[-200:]}", flush=True)
            if time.monotonic_ns() > until_ns:
                raise LabError(f"{device} is not removed: {result.err}")
            time.sleep(AGAIN_S)
        print(f"{self.now_s():6.1f} s  {device} is off {channel} from epoch {fence} on", flush=True)
        self.removals.append(Removal(device, number % len(CHANNELS) + 1, int(fence), asked_ns))
