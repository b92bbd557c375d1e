"""Owns the land: hosts on one bridge, any two of which can be cut apart and mended again.

Cut is what goes from one host to the other, both ways; groups go on to reach everybody, as they would in a
network whose servers lost each other.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from lab.hosts import Host, Network, network

CUTS = """
table bridge cuts {
  set apart {
    type ipv4_addr . ipv4_addr
  }
  chain between {
    type filter hook forward priority 0;
    ip saddr . ip daddr @apart counter drop
  }
}
"""
BRIDGE = "br0"


@dataclass(slots=True)
class Land:
    """A running network of hosts by name."""

    net: Network
    bridge: Host
    hosts: dict[str, Host] = field(default_factory=dict)
    _cuts: Counter[frozenset[str]] = field(default_factory=Counter)

    def add(self, name: str) -> Host:
        """Add a host; its interface is `eth0`, and its default route leads to the bridge, as for groups."""
        host = self.net.add(name)
        number = len(self.hosts) + 1
        host.leg, host.ipv4 = f"leg{number}", f"10.78.0.{number}"
        host.ip(
            f"link add eth0 type veth peer name {host.leg} netns {self.bridge.namespace}",
            f"address add {host.ipv4}/24 dev eth0",
            "link set eth0 up",
            "route add default dev eth0",
        )
        self.bridge.ip(f"link set {host.leg} master {BRIDGE}", f"link set {host.leg} up")
        self.hosts[name] = host
        return host

    def cut(self, one: str, *others: str) -> None:
        """Let nothing through between a host and each of the others any more."""
        for other in others:
            self._cuts[frozenset({one, other})] += 1
        self._apply()

    def mend(self, one: str, *others: str) -> None:
        """End one cut between them; what was cut twice stays apart until the other cut ends."""
        for other in others:
            self._cuts[frozenset({one, other})] -= 1
        self._apply()

    def address(self, name: str) -> str:
        """Return a host's address."""
        return self.hosts[name].ipv4

    def _apply(self) -> None:
        ends = [sorted(map(self.address, pair)) for pair, count in self._cuts.items() if count > 0]
        pairs = ", ".join(f"{a} . {b}, {b} . {a}" for a, b in ends)
        add = f"; add element bridge cuts apart {{ {pairs} }}" if pairs else ""
        # One command is one transaction: nothing passes in between.
        self.bridge.run("nft", f"flush set bridge cuts apart{add}")


@contextlib.contextmanager
def new_land(*names: str) -> Iterator[Land]:
    """Give a land with hosts of these names; needs root, takes a tenth of a second a host."""
    with network() as net:
        bridge = net.add("bridge")
        # Without snooping the bridge hands groups to all, as hosts without a querier need it.
        bridge.ip(f"link add {BRIDGE} type bridge mcast_snooping 0", f"link set {BRIDGE} up")
        bridge.run("nft", CUTS)
        land = Land(net, bridge)
        for name in names:
            land.add(name)
        yield land
