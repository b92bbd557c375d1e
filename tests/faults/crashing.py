"""Owns a program whose children die by kill -9 before each system call that records a run slot.

The argument is an empty folder. Each child opens the slot file, consumes the next slot and says so; the n-th
dies before its n-th call. Printed as JSON, a line for each: [died, epoch it used or null, first unused then].
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sealcast.core.channel import ChannelSpec
from sealcast.core.ids import ChannelNumber, Epoch, Ssrc
from sealcast.keys.lease import RunSlot
from sealcast.sender.slots import SlotStore
from simulation.credentials import make_credential

CREDENTIAL = make_credential()
SLOTS = tuple(RunSlot(Ssrc(1_000 + epoch), Epoch(epoch)) for epoch in range(1, 200))
POINTS_MAX = 60
"""More calls than an opening and a consumption make."""


class Dying:
    """Counts calls and dies before one of them."""

    def __init__(self, last: int) -> None:
        self.left = last

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return `call`, before which the process may die."""

        def wrapped(*arguments: Any, **named: Any) -> Any:
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        return wrapped


def new_store(folder: Path) -> SlotStore:
    """Return the slots of one sender."""
    return SlotStore(folder, CREDENTIAL, "news")


def die_at(folder: Path, point: int) -> tuple[bool, int | None]:
    """Consume a slot in a child that dies at a point; return whether it did, and the epoch that it used."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        dying = Dying(point)
        for owner, name in ((os, "open"), (os, "fdopen"), (os, "fsync"), (os, "close"), (Path, "replace")):
            setattr(owner, name, dying.wrap(getattr(owner, name)))
        store = new_store(folder)
        store.open()
        epoch = store.lease.peek().epoch
        store.consume(epoch)
        # The first packet leaves here.
        os.write(writing, str(epoch).encode())
        store.close()
        os._exit(0)
    os.close(writing)
    _, status = os.waitpid(pid, 0)
    said = os.read(reading, 100)
    os.close(reading)
    return os.waitstatus_to_exitcode(status) == -signal.SIGKILL, int(said) if said else None


def main() -> None:
    """Let children die at every point until one lives."""
    folder = Path(sys.argv[1])
    store = new_store(folder)
    store.open()
    store.take_lease(ChannelSpec(ChannelNumber(1), "news", "239.1.2.3", 5004), SLOTS, [])
    store.close()
    for point in range(1, POINTS_MAX):
        died, used = die_at(folder, point)
        store = new_store(folder)
        store.open()
        print(json.dumps([died, used, store.first_unused]), flush=True)
        store.close()
        if not died:
            return


if __name__ == "__main__":
    main()
