"""Owns the one topology: sender, key server, two or more receivers, each on a leg of its own of a router."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from lab.hosts import Host, Program, network
from lab.routers import start_pimd, start_smcroute, wait_for_rendezvous

COUNTERS = """
table inet lab {{
  {counters}
  chain forwarded {{
    type filter hook forward priority 0;
    {rules}
  }}
}}
"""

CUT = """
table inet cut {
  chain arriving {
    type filter hook prerouting priority -300;
    iifname "eth0" drop
  }
  chain departing {
    type filter hook postrouting priority -300;
    oifname "eth0" drop
  }
}
"""

LOSS = """
table inet loss {{
  chain arriving {{
    type filter hook prerouting priority 0;
    meta l4proto udp ip daddr 224.0.0.0/4 numgen random mod 100 < {percent} drop
    meta l4proto udp ip6 daddr ff00::/8 numgen random mod 100 < {percent} drop
  }}
}}
"""


class Family(IntEnum):
    """Which protocol the router forwards multicast of; unicast works in both."""

    IPV4 = 4
    IPV6 = 6


@dataclass(frozen=True, slots=True)
class Lab:
    """A running laboratory."""

    family: Family
    router: Host
    sender: Host
    keys: Host
    leg_a: Host
    leg_b: Host
    more: tuple[Host, ...]
    multicast_router: Program

    @property
    def hosts(self) -> tuple[Host, ...]:
        """All hosts but the router."""
        return self.sender, self.keys, self.leg_a, self.leg_b, *self.more

    def address(self, host: Host) -> str:
        """Return the address of `host` in the laboratory's family."""
        return host.ipv4 if self.family is Family.IPV4 else host.ipv6

    def carried(self, host: Host) -> int:
        """Return how many multicast UDP packets the router has put on the leg of `host`."""
        listed = self.router.run("nft", "list", "counter", "inet", "lab", host.leg)
        return int(listed.split("packets", 1)[1].split()[0])

    def lose(self, host: Host, percent: int) -> None:
        """From now on drop `percent` of the multicast packets that reach `host`; 0 ends it."""
        host.run("nft", "add table inet loss; delete table inet loss")
        if percent:
            host.run("nft", LOSS.format(percent=percent))

    def cut(self, host: Host) -> None:
        """From now on let nothing through between the router and `host`, neither way, until `mend`."""
        host.run("nft", CUT)

    def mend(self, host: Host) -> None:
        """End what `cut` began."""
        host.run("nft", "delete table inet cut")

    def wait_for_any_source(self) -> None:
        """Return once the router serves any-source groups; with pimd this takes up to 12 s."""
        if self.family is Family.IPV4:
            wait_for_rendezvous(self.multicast_router)


@contextlib.contextmanager
def routed_lab(family: Family, *more: str) -> Iterator[Lab]:
    """Build the topology with a real multicast router for `family`; needs root, takes about a second.

    `more` are the names of further hosts.
    """
    assert shutil.which("pimd"), "no pimd: run make test as root, which unpacks it into .stamps/unpacked"
    with network() as net:
        router, sender, keys, leg_a, leg_b = map(net.add, ("router", "sender", "keys", "a", "b"))
        router.set("net/ipv4/ip_forward", "1")
        router.set("net/ipv6/conf/all/forwarding", "1")
        legs = {"core": sender, "leg-k": keys, "leg-a": leg_a, "leg-b": leg_b}
        legs |= {f"leg-{name}": net.add(name) for name in more}
        for number, (leg, host) in enumerate(legs.items(), start=1):
            net.connect(host, router, leg, number)
        router.run("nft", _counters(list(legs)))
        start = start_pimd if family is Family.IPV4 else start_smcroute
        program = start(router, "core", [leg for leg in legs if leg != "core"], net.folder)
        others = tuple(legs[f"leg-{name}"] for name in more)
        yield Lab(family, router, sender, keys, leg_a, leg_b, others, program)


def _counters(legs: list[str]) -> str:
    destinations = ("ip daddr 224.0.0.0/4", "ip6 daddr ff00::/8")
    rules = [
        f'oifname "{leg}" meta l4proto udp {destination} counter name "{leg}"'
        for leg in legs
        for destination in destinations
    ]
    counters = "\n  ".join(f"counter {leg} {{ }}" for leg in legs)
    return COUNTERS.format(counters=counters, rules="\n    ".join(rules))
