"""Owns network namespaces for tests: an empty network of one's own, gone when the test ends."""

import contextlib
import ctypes
import os
import subprocess
import time
from collections.abc import Iterator

import psutil

CARRIER_S_MAX = 5
CLONE_NEWNET = 0x40000000
LOOPBACK_GROUPS_ROUTE = "-6 route add local ff00::/8 dev lo table local"


class Namespace:
    """The network namespace that the test's thread is in."""

    def ip(self, *commands: str) -> None:
        """Run one `ip` command per argument in here."""
        for command in commands:
            subprocess.run(["ip", *command.split()], check=True, timeout=10)

    def add_pair(self, name: str, peer: str, *addresses: str) -> None:
        """Add a pair of connected interfaces, both up, with `addresses` on the first."""
        self.ip(f"link add {name} type veth peer name {peer}", f"link set {name} up", f"link set {peer} up")
        for address in addresses:
            self.ip(f"address add {address} dev {name}{' nodad' if ':' in address else ''}")
        self._wait_for_carrier(name)

    def _wait_for_carrier(self, name: str) -> None:
        """Wait until the kernel counts the interface as up; it notices a peer's carrier a little later."""
        ends = time.monotonic() + CARRIER_S_MAX
        while not psutil.net_if_stats()[name].isup:
            assert time.monotonic() < ends, f"{name} does not come up"
            time.sleep(0.01)


@contextlib.contextmanager
def enter_namespace() -> Iterator[Namespace]:
    """Put this thread into an empty network namespace with loopback up; it ends with its last socket."""
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "no new network namespace; these tests need root")
        here = Namespace()
        here.ip("link set lo up", LOOPBACK_GROUPS_ROUTE)
        yield here
    finally:
        assert libc.setns(home, CLONE_NEWNET) == 0
        os.close(home)
