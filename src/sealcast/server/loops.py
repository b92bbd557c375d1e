"""Owns which event loop a server runs in: uvloop's, which wakes up for a third of the processor time."""

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

COLLECT_AFTER = (20_000, 20, 50)
"""Objects made, not freed and of a kind that may form circles; rounds of the young, and of those before."""

Result = TypeVar("Result")


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a fresh loop: asyncio's own where uvloop is not installed."""
    try:
        import uvloop  # noqa: PLC0415 - a server without it is slower, and nothing else
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def settle_memory() -> None:
    """Have the collector pass over all that a server has once it is ready, and look less often at the rest.

    What requests leave behind is freed without it; each of its full rounds would stop the server for some
    50 ms, to look at 300,000 objects of libraries that stay.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` to its end in a fresh loop."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(work)
