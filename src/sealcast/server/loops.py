"""Owns which event loop a server runs in."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` to its end in a fresh loop."""
    return asyncio.run(work)
