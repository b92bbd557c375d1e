"""Who receives, in a routed network: what the router has of memberships and the record of receptions."""

import json
import signal
import sys
import time
from collections.abc import Iterable, Iterator

import pytest

from integration.broadcast import KEY_SERVER_PORT
from integration.machines import FACT_S
from integration.receptions import (
    GROUPS,
    MEMBERSHIP_S,
    SILENCE_S,
    Audience,
    Reception,
    on_record,
)
from integration.viewing import Viewing
from lab import capture
from lab.hosts import Program, wait_until

pytestmark = pytest.mark.network

MORE_VIEWERS = 4
SEED = 20_261_121
STEPS, STEPS_BETWEEN_CHECKS = 30, 15
STEPS_LONG, STEPS_BETWEEN_CHECKS_LONG = 200, 25


@pytest.fixture(scope="module")
def audience(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audience]:
    """Return a broadcaster with six viewers."""
    with on_record(tmp_path_factory.mktemp("audience"), MORE_VIEWERS) as opened:
        yield opened


def listen(audience: Audience, device: str) -> Program:
    """Capture what a viewer tells the router and asks the key server, from now on."""
    keys, leg = audience.lab.keys.ipv4, audience.viewers[device].host.leg
    program = audience.lab.router.start(sys.executable, capture.__file__, leg, keys, str(KEY_SERVER_PORT))
    wait_until(lambda: "ready" in program.stdout(), f"the capture of {leg}")
    return program


def heard(program: Program, what: str) -> list[int]:
    """Return when a capture heard something, in ms since 1970."""
    lines = [line.partition(" ") for line in program.stdout().splitlines()]
    return [int(at) for at, _, said in lines if said == what]


def wait_for_row(audience: Audience, device: str) -> Reception:
    """Return the live reception of a viewer, once there is one."""
    found: list[Reception] = []

    def there() -> bool:
        found[:] = [row for row in audience.record() if row.device == device and row.ended_at_ms is None]
        return bool(found)

    wait_until(there, f"a reception of {device}", FACT_S)
    return found[0]


def wait_for_heartbeats(audience: Audience, devices: Iterable[str]) -> None:
    """Return once heartbeats of these told of packets opened."""

    def told() -> bool:
        shown = json.loads(audience.operate("receptions", "film", "--json"))["receptions"]
        return {row["device"] for row in shown if row["packets"]} >= set(devices)

    wait_until(told, "heartbeats", FACT_S)


def test_first_the_key_or_first_the_group_comes_to_the_same_record(audience: Audience) -> None:
    """Both starts are recorded alike; at the end the router hears the leave, then the record the stop."""
    by_name, by_address = list(audience.viewers)[:2]
    captures = {device: listen(audience, device) for device in (by_name, by_address)}
    actors = {
        by_name: audience.receive(by_name, "film"),
        by_address: audience.receive(by_address, "film", by_address=True),
    }
    audience.wait_for_agreement({(by_name, "film"), (by_address, "film")}, FACT_S)
    began = {device: wait_for_row(audience, device) for device in actors}
    wait_for_heartbeats(audience, actors)
    joined = {device: heard(captures[device], f"join {GROUPS['film']}")[0] for device in actors}
    assert heard(captures[by_name], "asks")[0] <= joined[by_name]
    assert heard(captures[by_address], "asks")[0] >= joined[by_address]

    ends = {device: actor.end()["reception"] for device, actor in actors.items()}
    audience.wait_for_agreement(set(), FACT_S)
    rows = {row.number: row for row in audience.record()}
    for device, end in ends.items():
        row = rows[began[device].number]
        assert (end["acknowledged"], end["number"]) == (True, row.number)
        assert (row.device, row.channel, row.reason) == (device, "film", "stopped")
        left = heard(captures[device], f"leave {GROUPS['film']}")[0]
        assert row.ended_at_ms is not None
        assert left <= row.ended_at_ms
        stops = [at for at in heard(captures[device], "asks") if at >= left]
        assert stops, "the stop notice came before the leave"
        print(
            f"{device}: stop {stops[0] - left} ms, end on record {row.ended_at_ms - left} ms after the leave"
        )
    for program in captures.values():
        program.stop()


def test_a_lost_receiver_times_out(audience: Audience) -> None:
    """Killed or cut off, a receiver is off the record after three missed heartbeats; another stays on it."""
    killed, cut_off, stays = list(audience.viewers)[:3]
    actors = {device: audience.receive(device, "film") for device in (killed, cut_off, stays)}
    numbers = {device: wait_for_row(audience, device).number for device in actors}
    host = audience.viewers[cut_off].host
    actors[killed].send_signal(signal.SIGKILL)
    audience.lab.cut(host)
    wait_until(lambda: audience.live() == {(stays, "film")}, "two timeouts", FACT_S)
    rows = {row.number: row for row in audience.record()}
    for device in (killed, cut_off):
        row = rows[numbers[device]]
        assert row.reason == "timeout"
        assert row.ended_at_ms is not None
        silent_ms = row.ended_at_ms - row.seen_ms
        assert silent_ms >= 1_000 * SILENCE_S
        print(f"{device}: on record until {silent_ms} ms after it was heard")

    audience.lab.mend(host)
    assert wait_for_row(audience, cut_off).number > numbers[cut_off]
    for device in (cut_off, stays):
        assert actors[device].end()["reception"]["acknowledged"]


def test_router_and_record_agree(audience: Audience) -> None:
    """After any joins, leaves, kills and cuts, and both timeouts, the two say the same of who receives."""
    they_agree(audience, STEPS, STEPS_BETWEEN_CHECKS)


@pytest.mark.soak
def test_router_and_record_agree_for_long(audience: Audience) -> None:
    """The same with two hundred steps."""
    they_agree(audience, STEPS_LONG, STEPS_BETWEEN_CHECKS_LONG)


def they_agree(audience: Audience, steps: int, between_checks: int) -> None:
    """Take random steps, and compare after each so many of them."""
    print(f"seed {SEED}")
    viewing = Viewing(audience, SEED)
    began = len(audience.record())
    try:
        for step in range(1, steps + 1):
            viewing.step()
            if step % between_checks == 0:
                since = time.monotonic()
                last = viewing.check(MEMBERSHIP_S + FACT_S)
                print(f"step {step}: agreed after {time.monotonic() - since:.1f} s; last wrong in the {last}")
    finally:
        viewing.end()
    print(dict(viewing.counts))
    # A busy machine may be late with one or the other.
    assert viewing.counts["acknowledged"] > 4 * viewing.counts["not acknowledged"]
    check_history(audience.record()[began:])


def check_history(rows: list[Reception]) -> None:
    """Receptions of one device and channel follow on one another, and each ended for a reason."""
    last: dict[tuple[str, str], int] = {}
    for row in rows:
        assert row.ended_at_ms is not None
        assert row.reason in {"stopped", "timeout"}
        assert last.get((row.device, row.channel), 0) <= row.since_ms <= row.ended_at_ms
        last[row.device, row.channel] = row.ended_at_ms
