"""Owns the multicast routers: pimd for IPv4 (IGMPv3), smcroute with an MLDv2 querier for IPv6."""

import sys
from pathlib import Path

from lab.hosts import Host, Program, wait_until

PIMD_CONF = """\
igmp-query-interval 1
bsr-candidate {core} priority 5
rp-candidate {core} time 10 priority 20
group-prefix 224.0.0.0 masklen 4
spt-threshold packets 0 interval 5
"""
"""No `phyint` lines: pimd takes every interface. 10 s is the shortest interval that it accepts for an RP.

pimd stops a source-specific stream 3 s after the leave, an any-source one only after its members' time is up:
twice the query interval and 10 s.
"""

RENDEZVOUS = "New RP candidate"
RENDEZVOUS_S = 20.0
"""pimd elects the rendezvous point for any-source groups after 5 to 12 s; 232/8 needs none."""


def start_pimd(router: Host, upstream: str, legs: list[str], folder: Path) -> Program:
    """Start pimd on every interface of `router` and return it once it routes source-specific groups."""
    conf = folder / "pimd.conf"
    conf.write_text(PIMD_CONF.format(core=upstream), encoding="utf-8")
    # pimd keeps its socket at one fixed path: a private /run lets two laboratories run at once.
    program = router.start("sh", "-c", f"mount -t tmpfs none /run && exec pimd -f -drp -s debug -c {conf}")
    register_interface = 1
    _wait_for_interfaces(router, program, "/proc/net/ip_mr_vif", 1 + len(legs) + register_interface)
    return program


def wait_for_rendezvous(pimd: Program) -> None:
    """Return once pimd knows the rendezvous point, from when on it routes any-source groups."""
    wait_until(lambda: RENDEZVOUS in pimd.stdout() + pimd.stderr(), "a rendezvous point", RENDEZVOUS_S)


def start_smcroute(router: Host, upstream: str, legs: list[str], folder: Path) -> Program:
    """Start smcroute and, beside it, the querier that turns MLDv2 reports into its routes."""
    conf, sock = folder / "smcroute.conf", folder / "smcroute.sock"
    conf.write_text("".join(f"phyint {name} enable\n" for name in [upstream, *legs]), encoding="utf-8")
    program = router.start(
        "smcrouted", "-n", "-N", "-f", conf, "-P", folder / "smcroute.pid", "-u", sock, "-l", "info"
    )
    _wait_for_interfaces(router, program, "/proc/net/ip6_mr_vif", 1 + len(legs))
    querier = router.start(sys.executable, Path(__file__).with_name("mld.py"), sock, upstream, *legs)
    wait_until(lambda: "ready" in querier.stdout() or not querier.running(), "the MLDv2 querier")
    assert querier.running(), querier.stderr()
    return program


def _wait_for_interfaces(router: Host, program: Program, table: str, count: int) -> None:
    """Return once the kernel's table of multicast interfaces, below one heading, has `count` lines."""
    wait_until(
        lambda: not program.running() or len(router.run("cat", table).splitlines()) > count,
        f"{count} multicast interfaces in {table}",
    )
    assert program.running(), program.stdout() + program.stderr()
