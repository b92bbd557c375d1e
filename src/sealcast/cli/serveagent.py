"""Owns `sealcast device serve`: the device agent in the foreground, until told to end.

Part of the noun in `cli.device`.
"""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from sealcast.cli.options import AgentSocket, Credential

if TYPE_CHECKING:
    from sealcast.agent.holding import Opener
    from sealcast.agent.run import AgentSettings

K = TypeVar("K")
V = TypeVar("V")
END_HARD_S = 4.7
"""From the first signal to the end, whatever happens; the promise is 5 s."""


def serve(
    context: typer.Context,
    *,
    agent: AgentSocket = None,
    credential: Credential = None,
    state: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where content keys are kept, sealed, in place of the usual place."),
    ] = None,
    user: Annotated[
        str | None, typer.Option(metavar="NAME", help="Become this user; takes root, and files of that user.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="NAME", help="Members of this group may ask the agent, too.")
    ] = None,
) -> None:
    """Hold this device for the programs that buy and play, which see no key; prints its socket once ready.

    The vault (or token) is opened once, and needed at every use: taken away, nothing opens until it is back.
    """
    from sealcast.cli.signals import expect_signals

    expect_signals()

    import sys

    from sealcast.agent.run import serve_agent
    from sealcast.cli import output
    from sealcast.config.places import private_dir
    from sealcast.transport.system import SystemRandom

    settings, opener = _settings(context, _Asked(agent, credential, state, user, group))

    def ready(device: str, socket: Path) -> None:
        output.print_line(f"device agent of {device} listens at {socket}")
        sys.stdout.flush()

    serve_agent(
        settings, opener, folder_for=private_dir, random=SystemRandom(), ready=ready, stop=_stop_by_signal()
    )


@dataclass(frozen=True)
class _Asked:
    """What the command line says; what it does not say, the configuration does."""

    agent: str | None
    credential: str | None
    state: Path | None
    user: str | None
    group: str | None


def _settings(context: typer.Context, asked: _Asked) -> "tuple[AgentSettings, Opener]":
    """Return where and as whom to serve, and what opens the device; raises UsageError."""
    import os

    from sealcast.agent.hardening import find_group, find_user
    from sealcast.agent.run import AgentSettings
    from sealcast.cli import acting
    from sealcast.config.places import agent_socket, make_dir, state_dir
    from sealcast.core.errors import UsageError

    loaded = acting.settings(context)
    path = asked.credential or loaded.settings.receiver.credential
    if path is None:
        raise UsageError(
            f"no credential of a device is given; {acting.HOW_TO_GET['device']}, then name it with"
            f" --credential or as credential under [receiver] in {loaded.path}"
        )
    becomes = find_user(asked.user) if asked.user is not None else None
    folder = Path.cwd() / (asked.state or loaded.settings.receiver.state or state_dir(os.environ))
    if becomes is not None and not folder.exists():
        make_dir(folder)
        os.chown(folder, becomes.uid, becomes.gid)
    settings = AgentSettings(
        socket=agent_socket(os.environ, asked.agent),
        state=folder,
        user=becomes,
        group=find_group(asked.group) if asked.group is not None else None,
    )
    return settings, _opener(context, Path.cwd() / path)


def _opener(context: typer.Context, path: Path) -> "Opener":
    """Return what opens the device, also when it is back: passphrase and PIN are asked for once."""
    from sealcast.cli.given import given_of
    from sealcast.cli.passphrases import passphrase_source, pin_source
    from sealcast.core.errors import UsageError
    from sealcast.device.holder import open_with_keys
    from sealcast.device.vault import Vault
    from sealcast.messages.enrolment import NEWCOMER

    given = given_of(context)
    passphrase, pin = _remembered(passphrase_source(given)), _remembered(pin_source(given))

    def open_device() -> Vault:
        vault = open_with_keys(path, passphrase, pin)
        if vault.credential.id == NEWCOMER:
            raise UsageError(
                f"{path} waits for the end of an enrolment: type the command sealcast enrol again"
            )
        return vault

    return open_device


def _remembered(ask: Callable[[K], V]) -> Callable[[K], V]:
    """Return `ask` with its first answer kept."""
    answers: list[V] = []

    def asked(about: K) -> V:
        if not answers:
            answers.append(ask(about))
        return answers[0]

    return asked


def _stop_by_signal() -> threading.Event:
    """Return what SIGTERM and Ctrl-C set; a second one, or `END_HARD_S`, ends the process all the same."""
    import os
    import signal

    from sealcast.cli.signals import ENDING

    stop = threading.Event()

    def end(*_: object) -> None:
        if stop.is_set():
            os._exit(0)
        stop.set()
        hard = threading.Timer(END_HARD_S, os._exit, (0,))
        hard.daemon = True
        hard.start()

    for number in ENDING:
        signal.signal(number, end)
    return stop
