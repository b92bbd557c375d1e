"""Owns how `receive`, `stop` and `withdraw` find each other: the list of receivers on this machine."""

import os
import time
from collections.abc import Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from sealcast.config.places import private_dir, state_dir
from sealcast.core.errors import UsageError
from sealcast.device.receivers import FOLDER, ReceiverLock, RunningReceiver, last_indices, running_receivers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sealcast.config.load import Loaded
    from sealcast.device.vault import Credential
    from sealcast.receiver.settings import ReceiveSettings
    from sealcast.receiver.status import ReceiveStatus

END_S_MAX = 5.0
"""A receiver ends within this, whatever hangs."""

LOOK_S = 0.05

log = structlog.get_logger("sealcast.cli")


def folder(loaded: "Loaded") -> Path:
    """Return the folder of the list; raises UsageError where it cannot be used."""
    state = loaded.settings.receiver.state
    return private_dir((Path(state) if state else state_dir(os.environ)) / FOLDER)


def lock_for(
    loaded: "Loaded", credential: "Credential", target: str, *, is_one_of_many: bool = False
) -> ReceiverLock | None:
    """Return the place of a receiver on the list; None, with a line in the log, where there can be none."""
    try:
        return ReceiverLock(folder(loaded), credential, target, is_one_of_many=is_one_of_many)
    except UsageError as error:
        log.info("sealcast stop will not find this receiver", reason=str(error))
        return None


@contextmanager
def listed(settings: "ReceiveSettings", lock: ReceiverLock | None) -> "Iterator[ReceiveSettings]":
    """Stand on the list for the block; yields settings that keep the entry true."""
    with lock or nullcontext():
        yield settings if lock is None else noting(settings, lock)


def noting(settings: "ReceiveSettings", lock: ReceiverLock) -> "ReceiveSettings":
    """Return settings under which the entry learns which channel it is."""
    return replace(settings, learned=lambda spec: lock.note_channel(spec.name, spec.number))


def note_end(lock: ReceiverLock | None, status: "ReceiveStatus | None") -> None:
    """Leave behind how far a run came that has ended."""
    if lock is not None and status is not None and status.reception is not None:
        index = status.reception.last_index
        if index is not None:
            lock.note_last(index)


def last_opened(loaded: "Loaded", credential: "Credential") -> dict[int, int]:
    """Return by channel number the index of the last packet that this machine opened, where known."""
    return last_indices(folder(loaded), credential)


def end_receivers(
    loaded: "Loaded", credential: "Credential", channels: Sequence[str] | None
) -> list[tuple[RunningReceiver, bool]]:
    """End this device's receivers of channels (names, numbers; None: all), and wait `END_S_MAX` for them.

    Returns each, and whether it has ended. Raises UsageError for one that we may not end.
    """
    running = list(running_receivers(folder(loaded), credential, channels))
    for receiver in running:
        receiver.end()
    deadline_s = time.monotonic() + END_S_MAX
    while any(receiver.is_running() for receiver in running) and time.monotonic() < deadline_s:
        time.sleep(LOOK_S)
    return [(receiver, not receiver.is_running()) for receiver in running]
