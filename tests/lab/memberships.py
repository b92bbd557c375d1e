"""Owns what pimd says of the members of source-specific groups.

    Vif  SSM Group        Sources
      2  232.1.2.3       10.77.1.2

pimd writes such a dump when a signal asks for it. Asked 20 times a second it is seconds late with all else:
it does not count the time that it has waited by then.
"""

import re
import signal
from pathlib import Path

from lab.hosts import wait_until
from lab.topology import Lab

DUMP = "run/pimd/pimd.dump"
INTERFACE = re.compile(r"^ +(\d+)  (10\.77\.\d+)\.1 .*", re.MULTILINE)
MEMBER = re.compile(r"^ +(\d+)  (232\.\d+\.\d+\.\d+) ", re.MULTILINE)
LAST_LINE = "Number of Cache MIRRORs"

Members = set[tuple[str, str]]
"""Legs and the groups joined there."""


def memberships(lab: Lab) -> Members:
    """Return who has joined what, as the router has it; takes some 10 ms. For IPv4."""
    process = lab.multicast_router.process
    # pimd has a /run of its own.
    path = Path(f"/proc/{process.pid}/root") / DUMP
    path.unlink(missing_ok=True)
    process.send_signal(signal.SIGUSR1)
    wait_until(lambda: path.exists() and LAST_LINE in path.read_text(encoding="ascii"), "pimd's dump")
    interfaces, _, rest = path.read_text(encoding="ascii").partition("SSM Group")
    numbers = dict(INTERFACE.findall(interfaces))
    legs = {host.ipv4.rpartition(".")[0]: host.leg for host in lab.hosts}
    return {(legs[numbers[number]], group) for number, group in MEMBER.findall(rest.partition("\n\n")[0])}
