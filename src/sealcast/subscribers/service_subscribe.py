"""Owns the decision whether a device may subscribe to a channel: first come the reasons that shut it out."""

from dataclasses import dataclass

from sealcast.messages.parties import is_line
from sealcast.messages.subscribing import USER_CHARS_MAX


@dataclass(frozen=True, slots=True)
class Applicant:
    """What the lists say of a device that asks for a channel.

    `was_removed`: its operator took it off this channel, and has not put it back since.
    """

    device: str
    channel: str
    is_in_good_standing: bool
    is_subscribed: bool
    is_channel_open: bool
    was_removed: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a device may not subscribe: the name of a problem, and its one line."""

    problem: str
    detail: str


def decide(applicant: Applicant) -> Refused | None:
    """Return why a sold device may not subscribe, None if it may.

    What lies with the device stands before what lies with the channel.
    """
    device, channel = applicant.device, applicant.channel
    if not applicant.is_in_good_standing:
        return Refused(
            "not-in-good-standing",
            f"{device} has sent an erasure statement that was refused; its operator may pardon it",
        )
    if applicant.was_removed:
        return Refused(
            "not-in-good-standing",
            f"{device} was taken off {channel} by its operator, who alone may put it back",
        )
    if applicant.is_subscribed:
        return Refused("already-subscribed", f"{device} is subscribed to {channel} already")
    if not applicant.is_channel_open:
        return Refused("channel-closed", f"{channel} is not open to subscribers; ask its operator")
    return None


def user_fault(user: str, *, is_needed: bool = True) -> str | None:
    """Return what is wrong with the name of a user, None if nothing is."""
    if is_needed and not user.strip():
        return "the name of the user is missing"
    if len(user) > USER_CHARS_MAX or not is_line(user):
        return f"the name of a user has at most {USER_CHARS_MAX} characters, all of them printable"
    return None
