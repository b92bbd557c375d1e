"""Owns the one tree of errors; each leaf knows the exit status a program ends with.

`RemoteError` says that somebody else broke the rules; `LocalError` that we, our configuration or our
caller did. Whatever comes from the network raises only `RemoteError`s.
"""

from typing import ClassVar


class SealcastError(Exception):
    """Base of all our errors. The text is one clear line with what to do about it."""

    exit_status: ClassVar[int] = 1


class LocalError(SealcastError):
    """We, our configuration or our caller did something that the rules do not allow."""


class UsageError(LocalError):
    """A command line, configuration or file does not fit; nothing was changed."""

    exit_status = 2


class FencedError(LocalError):
    """Another master has taken over since: this one may write and publish nothing any more."""


class RemoteError(SealcastError):
    """Something received breaks the rules; it changed nothing."""


class FormatError(RemoteError):
    """Bytes that do not follow the layout that their place demands."""


class AuthenticationError(RemoteError):
    """A tag, MAC, signature or certificate does not verify."""


class ReplayError(RemoteError):
    """A packet or message that was seen before, or is too old to tell."""


class UnreachableError(SealcastError):
    """A server does not answer, or not over a connection we trust."""

    exit_status = 3


class RefusedError(SealcastError):
    """A server answered no. `type` is the stable name of the reason (RFC 9457)."""

    exit_status = 4

    def __init__(
        self, type_: str, detail: str, status: int = 403, *, retry_after_s: float | None = None
    ) -> None:
        """Keep the problem's `type`, one-line `detail` and HTTP `status`."""
        super().__init__(detail)
        self.type = type_
        self.detail = detail
        self.status = status
        self.retry_after_s = retry_after_s
