"""Owns `sealcast send --standby`: one channel, watched, and sent while its other sender is silent."""

import asyncio
from collections.abc import Callable

from sealcast.cli import output, running
from sealcast.cli.reloading import Reloading
from sealcast.cli.send import describe, summarise
from sealcast.core.channel import parse_duration_ms
from sealcast.gateway.standby import alone
from sealcast.sender.run import SendSettings
from sealcast.sender.sources import Source
from sealcast.sender.status import SendStatus
from sealcast.transport.system import SystemClock, SystemRandom


def send_standby(
    settings: SendSettings,
    open_source: Callable[[], Source],
    reloading: Reloading,
    silence: str,
    *,
    json: bool,
) -> None:
    """Stand by until told to stop, or the input ends on the air; print the summary of the last turn."""
    silent_ms = parse_duration_ms(silence)
    with running.StatusLine(describe) as line:

        async def work(stop: asyncio.Event) -> SendStatus | None:
            return await alone(
                settings,
                open_source,
                silent_ms=silent_ms,
                clock=SystemClock(),
                random=SystemRandom(),
                stop=stop,
                observe=line,
            )

        summary = running.run_until_signal(work, reload=reloading.ask)
    if json:
        output.print_json(summary)
    else:
        output.print_line("stood by, never on air" if summary is None else summarise(summary))
