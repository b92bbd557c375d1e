"""Owns the place of an agent's socket: made, with the rights that it is to have, taken away at the end."""

import contextlib
import os
import socket
from pathlib import Path

from sealcast.agent.hardening import User
from sealcast.core.errors import UsageError

OWN_MODE, GROUP_MODE = 0o600, 0o660
DIR_MODE, GROUP_DIR_MODE = 0o700, 0o750
BACKLOG = 64


def listen(path: Path, user: User | None, group: int | None) -> socket.socket:
    """Return a socket that listens at `path`, for `user` (or us) and the members of `group`.

    Raises UsageError where another agent listens there, or nothing can be made. What an agent that was
    killed left behind is taken away.
    """
    _make_folder(path.parent, user, group)
    _take_away_left(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        made.bind(str(path))
        _give(path, user, group)
        path.chmod(OWN_MODE if group is None else GROUP_MODE)
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise UsageError(f"cannot listen at {path}: {error.strerror or error}") from error
    finally:
        os.umask(before)
    return made


def take_away(path: Path) -> None:
    """Remove the socket at the end."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _make_folder(folder: Path, user: User | None, group: int | None) -> None:
    """Make the folder, if it is absent, for those who are to reach the socket."""
    if folder.is_dir():
        return
    try:
        folder.mkdir(mode=DIR_MODE, parents=True)
        if user is not None or group is not None:
            _give(folder, user, group)
            folder.chmod(DIR_MODE if group is None else GROUP_DIR_MODE)
    except OSError as error:
        raise UsageError(f"cannot use the folder {folder}: {error.strerror}") from error


def _give(path: Path, user: User | None, group: int | None) -> None:
    """Give what was made to a user and a group, unless it is theirs: under a unit's filter nobody may."""
    made = path.stat()
    wanted = made.st_uid if user is None else user.uid, made.st_gid if group is None else group
    if wanted != (made.st_uid, made.st_gid):
        os.chown(path, *wanted)


def _take_away_left(path: Path) -> None:
    """Take away a socket that nobody listens at any more; raises UsageError where somebody does."""
    if not path.is_socket():
        if path.exists():
            raise UsageError(f"{path} is no socket, and stays: name another place with --agent")
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            take_away(path)
        except OSError as error:
            raise UsageError(f"cannot listen at {path}: {error.strerror}") from error
        else:
            raise UsageError(f"a device agent listens at {path} already")
