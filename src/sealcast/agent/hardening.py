"""Owns what an agent's process does to keep what it holds: no dumps, memory locked, rights given up.

In this order: the limit on locked memory is lifted, the socket is made, the user is changed, then dumps are
forbidden (a change of user allows them again) and memory is locked; the device is opened last.
"""

import grp
import pwd
from collections.abc import Iterator
from dataclasses import dataclass

from sealcast.core.errors import UsageError
from sealcast.transport.guarding import become, forbid_dumps, lift_lock_limit, lock_memory

NOT_LOCKED = "memory is not locked, a key may reach the swap: ulimit -l unlimited, or LimitMEMLOCK=infinity"
NOT_HIDDEN = "this system cannot keep other programs of this user from reading an agent's memory"


@dataclass(frozen=True, slots=True)
class User:
    """A user of the system to become."""

    name: str
    uid: int
    gid: int


def find_user(name: str) -> User:
    """Return a user by name; raises UsageError."""
    try:
        found = pwd.getpwnam(name)
    except KeyError as error:
        raise UsageError(f"there is no user {name} on this machine") from error
    return User(name, found.pw_uid, found.pw_gid)


def find_group(name: str) -> int:
    """Return a group's number; raises UsageError."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise UsageError(f"there is no group {name} on this machine") from error


def give_up_rights(user: User | None) -> None:
    """Become `user`, if one is named, for good; raises UsageError where that is not allowed."""
    lift_lock_limit()
    if user is None:
        return
    try:
        become(user.name, user.uid, user.gid)
    except OSError as error:
        raise UsageError(f"cannot become the user {user.name}: {error.strerror}; start as root") from error


def harden() -> Iterator[str]:
    """Forbid dumps and lock memory; yields a line for each that the system does not allow."""
    if not forbid_dumps():
        yield NOT_HIDDEN
    if not lock_memory():
        yield NOT_LOCKED
