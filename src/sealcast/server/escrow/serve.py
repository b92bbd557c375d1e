"""Owns the run of an escrow."""

import asyncio
from collections.abc import Callable

from sealcast.core.ports import Clock, Random
from sealcast.server.escrow.open_escrow import open_escrow
from sealcast.server.escrow.settings import EscrowSettings
from sealcast.server.serve_apart import serve_apart
from sealcast.server.serving import Reloads
from sealcast.server.state_reception import check_is_escrow


async def serve_escrow(
    settings: EscrowSettings,
    *,
    clock: Clock,
    random: Random,
    ready: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
    reloads: Reloads | None = None,
) -> None:
    """Serve until told to end; all as `serve_apart`. Raises UsageError also for a token that does not do.

    A reload takes over certificate, operators and addresses, and reads who was revoked.
    """
    await serve_apart(
        settings,
        lambda state: check_is_escrow(state).id,
        lambda state: open_escrow(state, settings, clock, random),
        ready=ready,
        stop=stop,
        reloads=reloads,
    )
