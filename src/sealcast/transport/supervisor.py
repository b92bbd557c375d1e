"""Owns what a service manager is told: that we are ready, that we end, that we live (sd_notify(3)).

Without `NOTIFY_SOCKET` nobody listens, and nothing is sent.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping

SOCKET_VARIABLE = "NOTIFY_SOCKET"
WATCHDOG_VARIABLE, WATCHDOG_PID_VARIABLE = "WATCHDOG_USEC", "WATCHDOG_PID"
READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"
SIGNS_IN_TIME = 3
"""Signs of life within the time after which the manager takes us for dead."""


def tell(message: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Send a message to the service manager; return whether one was there to take it.

    A manager that is gone is no reason to end: errors of the socket are passed over.
    """
    address = environment.get(SOCKET_VARIABLE, "")
    if not address.startswith(("/", "@")):
        return False
    # A name that begins with @ is of Linux's own name space, where it begins with a zero byte.
    place = "\0" + address[1:] if address.startswith("@") else address
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(message.encode(), place)
        return True
    return False


def watchdog_s(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return within how many seconds the service manager wants a sign of life; None if it does not."""
    text = environment.get(WATCHDOG_VARIABLE, "")
    whose = environment.get(WATCHDOG_PID_VARIABLE, "")
    if not text.isdecimal() or int(text) == 0 or (whose and whose != str(os.getpid())):
        return None
    return int(text) / 1e6


async def give_signs(within_s: float) -> None:
    """Give signs of life until cancelled: a loop that hangs gives none, and the manager starts us again."""
    while True:
        tell(ALIVE)
        await asyncio.sleep(within_s / SIGNS_IN_TIME)
