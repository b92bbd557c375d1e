"""Decides whether a chain may go on with the key that its sender publishes, or wants a fresh start.

| the key (S0-9, S0-11) | is taken if                                                                        |
|-----------------------|------------------------------------------------------------------------------------|
| a fresh start         | its chain has T2 / T1 epochs at most, and ends where no other of the channel does  |
| follows from another  | we hold the C of that one, both are of one chain, Ku leads from one to the other,  |
|                       | and no fence is between them: whoever was removed could follow                     |
"""

from sealcast.core.channel import ScheduleKind
from sealcast.core.errors import AuthenticationError, FormatError, RefusedError
from sealcast.core.secret import Secret
from sealcast.keys.material import Origin, Tek
from sealcast.keys.schedule import check_origin, follow
from sealcast.keyserver.values import ChannelView, EpochRow, refusal


def check_shape(view: ChannelView, tek: Tek) -> None:
    """Raise unless a published key is one of the channel's schedule, whatever comes before it.

    Raises the refusal `bad-request` for a link that is not of this schedule, or that names a fresh start that
    T2 does not allow; FormatError or AuthenticationError for a key that is not the one of its link.
    """
    name, origin = view.spec.name, tek.origin
    if view.spec.schedule is not ScheduleKind.CHAIN:
        if origin is not None:
            raise refusal("bad-request", f"channel {name} has fetched keys: publish the key without a link")
        return
    if origin is None:
        raise refusal(
            "bad-request", f"the keys of channel {name} are a chain's: publish the key with its link"
        )
    check_origin(tek)
    epoch = tek.key_id.epoch
    latest = epoch + view.spec.fresh_epochs
    if origin.follows is None and not epoch < origin.fresh_at <= latest:
        raise refusal(
            "bad-request",
            f"the fresh start after epoch {epoch} of channel {name} is at epoch {epoch + 1} to {latest},"
            f" not {origin.fresh_at}",
        )


def row_before(view: ChannelView, tek: Tek) -> EpochRow | None:
    """Return the epoch that a chained key follows, with its C held; None if the key is a fresh start.

    Raises the refusal `fresh-start-needed` if the chain cannot go on with this key.
    """
    origin = tek.origin
    if origin is None or origin.follows is None:
        return None
    row = view.find(origin.follows.epoch) if origin.follows.channel == tek.key_id.channel else None
    if row is None or not row.has_link:
        raise _no(view, tek, f"the link of epoch {origin.follows.epoch} is not kept here")
    if row.fresh_at != origin.fresh_at or row.epoch >= tek.key_id.epoch:
        raise _no(view, tek, f"epoch {row.epoch} is not before it in one chain")
    if any(row.epoch < fence.epoch <= tek.key_id.epoch for fence in view.fences):
        raise _no(view, tek, f"there is a fence behind epoch {row.epoch}")
    return row


def check_follows(view: ChannelView, tek: Tek, before: Tek) -> None:
    """Raise the refusal `fresh-start-needed` unless `tek` follows from `before` by its Ku."""
    origin = tek.origin
    if origin is None or origin.update is None or not len(origin.update):
        raise _no(view, tek, "it comes without the update that led to it")
    try:
        # The key that is made owns its origin, and is erased with it: Ku is a copy.
        made = follow(before, tek.key_id, Secret(origin.update.reveal()))
    except (AuthenticationError, FormatError) as error:
        raise _no(view, tek, str(error)) from error
    is_same = made == tek and made.origin is not None and made.origin.link == origin.link
    made.erase()
    if not is_same:
        raise _no(view, tek, f"its update does not lead there from epoch {before.key_id.epoch}")


def is_same_place(row: EpochRow, origin: Origin | None, number: int) -> bool:
    """Whether a key that is published again names the place in its chain that it had before."""
    if origin is None:
        return row.fresh_at is None
    follows = origin.follows
    is_after_same = (None if follows is None else (follows.channel, follows.epoch)) == (
        None if row.follows is None else (number, row.follows)
    )
    return row.fresh_at == origin.fresh_at and is_after_same


def _no(view: ChannelView, tek: Tek, why: str) -> RefusedError:
    what = f"epoch {tek.key_id.epoch} of channel {view.spec.name} cannot follow in its chain"
    return refusal("fresh-start-needed", f"{what}: {why}; publish a fresh start")
