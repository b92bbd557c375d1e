"""Owns the last moment of a program: signals that come when all is done change its exit status no more."""

import signal


def settle() -> None:
    """Have a program that took its signals itself ignore them from now on.

    The interpreter would give them back their defaults at its end, and a second Ctrl-C would seem to kill it.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_IGN)
