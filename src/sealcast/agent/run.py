"""Owns an agent from start to end: socket, rights, device, folder, server, and all of it undone."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from sealcast.agent.desk import Desk
from sealcast.agent.hardening import User, give_up_rights, harden
from sealcast.agent.holding import Holding, Opener
from sealcast.agent.listening import listen, take_away
from sealcast.agent.secrets import Secrets
from sealcast.agent.serving import Admitted, Server
from sealcast.core.ports import Random
from sealcast.device.outbox import outbox_name
from sealcast.transport import supervisor
from sealcast.transport.guarding import own_user

FOLDER = "agent"
ROOT = 0

log = structlog.get_logger("sealcast.agent")


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Where an agent listens and keeps what it has, whom it becomes, and whose group may ask it."""

    socket: Path
    state: Path
    user: User | None = None
    group: int | None = None


def serve_agent(
    settings: AgentSettings,
    opener: Opener,
    *,
    folder_for: Callable[[Path], Path],
    random: Random,
    ready: Callable[[str, Path], None],
    stop: threading.Event,
) -> None:
    """Serve until `stop`; `ready` is called with the device's name and the socket's place.

    `opener` opens the device, after rights were given up; `folder_for` makes a private folder. Raises
    UsageError for what does not fit, and leaves no socket then either.
    """
    with contextlib.ExitStack() as undo:
        listening = listen(settings.socket, settings.user, settings.group)
        undo.callback(take_away, settings.socket)
        undo.callback(listening.close)
        give_up_rights(settings.user)
        for line in harden():
            log.warning(line)
        holding = Holding(opener)
        undo.callback(holding.close)
        held = holding.present()
        secrets = Secrets(folder_for(settings.state / FOLDER / outbox_name(held.credential)))
        undo.callback(secrets.close)
        secrets.tidy(held)
        admitted = Admitted(frozenset({ROOT, own_user()}), settings.group)
        server = Server(listening, Desk(holding, secrets, random), admitted)
        undo.callback(server.close)
        server.start()
        ready(held.credential.id, settings.socket)
        supervisor.tell(f"{supervisor.READY}\nSTATUS=device {held.credential.id} at {settings.socket}")
        undo.callback(supervisor.tell, supervisor.STOPPING)
        stop.wait()
