"""Owns one run of the laboratory: a site, its faults, and the verdict on all that was written down."""

import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from chaos import judge
from chaos.plan import AFTER_S, Kind, draw, is_sheltered
from chaos.records import DATA, Heard, Home, read_recording
from chaos.site import EAR, LAYOUT, RECORDING, Site, go_off_air, go_on_air, new_site
from chaos.striking import Strikes
from lab.hosts import LabError, wait_until

WARM_S = 6.0
"""Before faults come, all receivers have joined and every replica has heard of them."""

SETTLE_S = 14.0
"""After the last fault: a lease, a start, and a whole life of a key."""

UNDECIDED_NS = 6_000_000_000
"""What came so shortly before the end may still wait for its key."""

JOURNALS_S = 30.0
"""Grants are in the database after this at the latest, once all servers run."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong, and what was seen."""

    wrong: list[str]
    faults: int
    removals: int
    grants: int
    switches: int
    packets: int
    opened: int
    excused: int
    late_s: float

    def __str__(self) -> str:
        return (
            f"{self.faults} faults, {self.removals} removals, {self.switches} switches,"
            f" {self.packets} packets on the air, {self.opened} opened, {self.grants} grants;"
            f" {self.excused} packets lost by receivers without a replica;"
            f" the machine was up to {self.late_s:.1f} s late; {len(self.wrong)} wrong"
        )


def run(folder: Path, *, seed: int, seconds: float, overlap: float, removals: int, receivers: int) -> Verdict:
    """Build a site, carry out the faults of a seed for `seconds`, and judge what came of it."""
    plan = draw(LAYOUT, seed, seconds, overlap=overlap, removals=removals)
    with new_site(folder, receivers) as site:
        go_on_air(site)
        time.sleep(WARM_S)
        strikes = Strikes(site, [f"tv-{number:03}" for number in range(1, receivers + 1)])
        strikes.carry_out(plan, seconds)
        well_ns = time.monotonic_ns()
        time.sleep(SETTLE_S)
        ends_ns = time.monotonic_ns()
        wrong = _crashed(site, strikes)
        go_off_air(site)
        homes = [
            msgspec.json.decode((folder / f"{name}.story").read_bytes(), type=Home) for name in LAYOUT.homes
        ]
        wrong += _wait_for_grants(site, homes)
        rows = site.grants()
    air = list(read_recording(folder / RECORDING))
    return _judge(strikes, homes, air, rows, wrong=wrong, span_ns=(well_ns, ends_ns))


def _judge(
    strikes: Strikes,
    homes: list[Home],
    air: list[Heard],
    rows: list[judge.GrantRow],
    *,
    wrong: list[str],
    span_ns: tuple[int, int],
) -> Verdict:
    well_ns, ends_ns = span_ns

    def sheltered(home: str, at_ns: int) -> bool:
        at_s = (at_ns - strikes.began_ns) / 1e9
        # A key is asked for some time before the packets that it opens come.
        instants = (at_s - AFTER_S, at_s - AFTER_S / 2, at_s)
        return all(is_sheltered(LAYOUT, strikes.done, home, each) for each in instants)

    lost, excused = judge.check_losses(homes, strikes.removals, ends_ns - UNDECIDED_NS, sheltered)
    wrong += lost
    wrong += judge.check_alive(homes, strikes.removals, well_ns)
    wrong += judge.check_fences(homes, strikes.removals, rows, air)
    wrong += judge.check_grants(homes, rows)
    wrong += judge.check_keys(homes)
    wrong += judge.check_nonces(air)
    return Verdict(
        wrong=wrong,
        faults=len(strikes.done),
        removals=len(strikes.removals),
        grants=len(rows),
        switches=len({(packet.channel, packet.epoch) for packet in air}),
        packets=sum(packet.kind == DATA for packet in air),
        opened=sum(
            ((run.last - run.first) & 0xFFFF) + 1
            for home in homes
            for life in home.lives
            for run in life.opened
        ),
        excused=excused,
        late_s=max(home.late_s_max for home in homes),
    )


def _crashed(site: Site, strikes: Strikes) -> list[str]:
    """Return the programs that ended without being killed."""
    names = [*LAYOUT.servers, *LAYOUT.studios, *LAYOUT.homes, EAR]
    wrong = [f"{name} does not run at the end" for name in names if not site.is_running(name)]
    for name, service in site.services.items():
        killed = sum(fault.kind is Kind.KILL and name in fault.what for fault in strikes.done)
        killed += strikes.restarts.count(name)
        if len(service.programs) != killed + 1:
            wrong.append(f"{name} was started {len(service.programs)} times, and killed {killed} times")
    return wrong


def _wait_for_grants(site: Site, homes: list[Home]) -> list[str]:
    """Wait until the journals have brought all grants into the database."""
    try:
        wait_until(lambda: not judge.check_grants(homes, site.grants()), "all grants", JOURNALS_S)
    except LabError:
        return ["journals do not empty"]
    return []
