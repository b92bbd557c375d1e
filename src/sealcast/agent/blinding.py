"""Owns an order's way through the agent: a part is blinded, the escrow's answer unblinded, shares combine.

```
blind    c' = c·r^e; r on the disk, sealed ──► OrderOpenRequest, signed
unblind  m ── z = m/r, z^e = c? ──► share ── commitment? ──► on the disk; r forgotten
         shares = threshold ──► content key ──► entitlement on the disk; shares forgotten
```
An escrow that answers wrongly changes nothing. A share that the seller made wrong is kept for `fault`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from sealcast.agent.holding import Held
from sealcast.agent.secrets import (
    PENDING_MAX,
    Blinding,
    Entitlement,
    Pending,
    PendingState,
    Secrets,
)
from sealcast.core.errors import AuthenticationError, FormatError, RefusedError
from sealcast.core.ports import Random
from sealcast.core.secret import Secret
from sealcast.keys import rsakem
from sealcast.messages import agent, jose
from sealcast.messages.encoding import b64url_decode, encode
from sealcast.messages.escrow import OrderOpenRequest, escrow_audience
from sealcast.messages.operations_escrow import ORDER_OPEN
from sealcast.messages.package import header_digest
from sealcast.messages.requests import JTI_BYTES
from sealcast.sealpack.escrowkeys import EscrowKey
from sealcast.sealpack.header import CheckedHeader, read_header
from sealcast.sealpack.licence import read_licence
from sealcast.sealpack.sharing import CheckedPart, Gathered, gather, open_device_share, open_escrow_share

__all__ = ["PENDING_MAX", "blind_part", "find_fault", "rows", "take_opened", "with_wrong_chunk"]

UNKNOWN_ORDER, OPENED_ALREADY, OTHER_PACKAGE = "unknown-order", "opened-already", "order-used"
ATTESTED = "fault-attested"


@dataclass(frozen=True, slots=True)
class Found:
    """What was wrong with an order."""

    key: str
    package: str
    what: Literal["share", "chunk", "key"]
    number: int


@dataclass(frozen=True, slots=True)
class _Parts:
    """A package's header and the parts of an order, believed."""

    header: CheckedHeader
    parts: tuple[CheckedPart, ...]

    def at(self, number: int) -> tuple[CheckedPart, EscrowKey]:
        """Return an escrow's part; raises FormatError."""
        for part in self.parts:
            if part.number == number and part.key is not None:
                return part, part.key
        raise FormatError(f"the package has no share {number} that an escrow opens")


def blind_part(
    ask: agent.Blind, held: Held, secrets: Secrets, random: Random, check: Callable[[EscrowKey], None]
) -> agent.Blinded:
    """Return the request to open a part: for the same order and part always with the same c'.

    What it answers with is kept sealed and durably before. Raises AuthenticationError and FormatError for a
    package, licence or key that does not verify; RefusedError `order-used` for an order of another package,
    `opened-already` where the content key is here; what `check` raises for an escrow that was revoked.
    """
    credential = held.credential
    if len(b64url_decode(ask.jti)) != JTI_BYTES:
        raise FormatError(f"a jti is {JTI_BYTES} bytes in base64url")
    found = _parts(ask.header, ask.licence, ask.order, held)
    part, key = found.at(ask.number)
    check(key)
    digest = header_digest(ask.header)
    if secrets.entitlement(digest, held) is not None:
        raise RefusedError(OPENED_ALREADY, "the package opens on this device already")
    pending = secrets.pending(ask.order, held)
    if pending is None:
        if any(each.order == ask.order for each in secrets.all_entitlements(held)):
            raise RefusedError(OTHER_PACKAGE, f"the order {ask.order} has opened another package here")
        pending = _new_pending(ask, found, digest, held)
        _check_enough(pending, found)
    elif (pending.state.digest, pending.licence) != (digest, ask.licence):
        raise RefusedError(OTHER_PACKAGE, f"the order {ask.order} is for another package or licence")
    _check_open(pending)
    blinded = next((each.blinded for each in pending.state.parts if each.number == ask.number), None)
    if blinded is None:
        fresh = rsakem.blind(key.public, part.encapsulation, random)
        mine = Blinding(number=ask.number, blinded=fresh.blinded, r=fresh.r.reveal())
        state = replace(pending.state, parts=[*pending.state.parts, mine])
        secrets.keep_pending(replace(pending, state=state), held)
        blinded = fresh.blinded
    request = OrderOpenRequest(
        aud=escrow_audience(credential.operator, key.id),
        op=ORDER_OPEN.name,
        jti=ask.jti,
        nonce=ask.nonce,
        order=ask.order,
        key=key.document.key,
        blinded=blinded,
        certificate=held.certificates.signing,
        receipt=ask.receipt,
        lead=ask.lead,
    )
    token = jose.sign(encode(request), held.keys.signing, kid=credential.id, typ=jose.TYP_REQUEST)
    return agent.Blinded(request=token, escrow=key.id, servers=key.document.servers)


def take_opened(ask: agent.Unblind, held: Held, secrets: Secrets) -> agent.Progress:
    """Take m for a part; with the last share that is needed, the content key is kept and the rest forgotten.

    Raises AuthenticationError naming the escrow that lies (nothing is changed), or the share that the seller
    made wrong; RefusedError `unknown-order` for a part that was never blinded.
    """
    pending = secrets.pending(ask.order, held)
    if pending is None:
        done = next((each for each in secrets.all_entitlements(held) if each.order == ask.order), None)
        if done is None:
            raise RefusedError(UNKNOWN_ORDER, f"nothing of the order {ask.order} was blinded here")
        return agent.Progress(have=done.threshold, threshold=done.threshold, complete=True)
    _check_open(pending)
    found = _parts(pending.header, pending.licence, ask.order, held)
    part, key = found.at(ask.number)
    mine = next((each for each in pending.state.parts if each.number == ask.number), None)
    if mine is None:
        raise RefusedError(UNKNOWN_ORDER, f"share {ask.number} of the order {ask.order} was not blinded here")
    if mine.share is None:
        if mine.r is None:
            raise AuthenticationError(f"share {part.number}, {part.whose}, was found wrong before")
        share = _share(part, key, found.header.package_id, Secret(mine.r), ask.opened)
        wrong = isinstance(share, AuthenticationError)
        taken = replace(
            mine, r=None, share=share.reveal() if isinstance(share, Secret) else None, is_wrong=wrong
        )
        pending = _with(pending, taken)
        secrets.keep_pending(pending, held)
        if isinstance(share, AuthenticationError):
            raise share
    return _combine(pending, found, held, secrets)


def find_fault(order: str, held: Held, secrets: Secrets) -> Found | None:
    """Return what is wrong with an order: a share, all of them together, or a chunk that the seller signed.

    A wrong share counts once an escrow has opened it and the others cannot be enough: who has the content has
    no word against it. The device's own share is not attested: one that earlier keys of this device opened
    does not open under the present ones, and the seller is not to pay for that. Where as many fit as are
    needed and give no content key, the order opens nothing more from this word on.
    """
    pending = secrets.pending(order, held)
    if pending is not None:
        broken = pending.state.broken or _find_broken(pending, held, secrets)
        if broken:
            header = _parts(pending.header, pending.licence, order, held).header
            return Found(header.lead.document.key, pending.state.package, "key", broken)
        found = _parts(pending.header, pending.licence, order, held)
        of_escrows = [part.number for part in found.parts if part.key is not None]
        wrong = [number for number in _wrong_numbers(pending) if number in of_escrows]
        if not wrong or _is_enough(pending, found):
            return None
        return Found(found.header.lead.document.key, pending.state.package, "share", wrong[0])
    for entitlement in secrets.all_entitlements(held):
        if entitlement.order == order and entitlement.wrong_chunk is not None:
            return Found(entitlement.key, entitlement.package, "chunk", entitlement.wrong_chunk)
    return None


def _find_broken(pending: Pending, held: Held, secrets: Secrets) -> int:
    """Return how many shares fit and give no content key, 0 where they are too few; then they are erased."""
    state = pending.state
    found = _parts(pending.header, pending.licence, state.order, held)
    gathered = _gathered(pending, found, held)
    if not gathered.is_broken:
        if gathered.content_key is not None:
            gathered.content_key.erase()
        return 0
    parts = [replace(each, r=None, share=None) for each in state.parts]
    kept = replace(state, parts=parts, broken=gathered.good)
    secrets.keep_pending(replace(pending, state=kept), held)
    return gathered.good


def _check_open(pending: Pending) -> None:
    """Raise RefusedError where the device has attested that an order's shares give no content key."""
    if pending.state.broken:
        raise RefusedError(
            ATTESTED, "the device has attested that what the seller shared is no content key: take it back"
        )


def with_wrong_chunk(entitlement: Entitlement, chunk: int) -> Entitlement:
    """Return an entitlement that knows of a chunk that does not open; the first one found stays."""
    if entitlement.wrong_chunk is not None:
        return entitlement
    return replace(entitlement, wrong_chunk=chunk)


def rows(held: Held, secrets: Secrets) -> Iterator[agent.EntitlementRow]:
    """Yield what opens here and what waits to."""
    for each in secrets.all_entitlements(held):
        yield agent.EntitlementRow(
            package=each.package,
            digest=each.digest,
            title=each.title,
            order=each.order,
            complete=True,
            have=each.threshold,
            threshold=each.threshold,
        )
    for pending in secrets.all_pending(held):
        state = pending.state
        yield agent.EntitlementRow(
            package=state.package,
            digest=state.digest,
            title=state.title,
            order=state.order,
            complete=False,
            have=sum(part.share is not None for part in state.parts),
            threshold=state.threshold,
        )


def _parts(header: str, licence: str | None, order: str, held: Held) -> _Parts:
    """Return header and parts, verified up to the operator's CA; raises FormatError, AuthenticationError."""
    credential = held.credential
    checked = read_header(header, credential.ca_pem)
    if checked.seller.operator != credential.operator:
        raise AuthenticationError(f"the package is of another operator, {checked.seller.operator}")
    if not checked.header.needs_licence:
        if licence is not None:
            raise FormatError("this package has its shares in itself and takes no licences")
        return _Parts(checked, checked.parts)
    if licence is None:
        raise FormatError("this package needs a licence for each order: the seller makes it")
    return _Parts(checked, read_licence(licence, checked, order=order, device=credential.id).parts)


def _new_pending(ask: agent.Blind, found: _Parts, digest: str, held: Held) -> Pending:
    """Return what waits for a new order; where the device's own share is wrong, that is in it."""
    header, parts = found.header.header, list[Blinding]()
    for part in found.parts:
        if part.key is None:
            try:
                open_device_share(part, found.header.package_id, held.keys.kek).erase()
            except AuthenticationError:
                parts.append(Blinding(number=part.number, blinded=b"", r=None, is_wrong=True))
    state = PendingState(
        order=ask.order,
        package=header.id,
        digest=digest,
        title=header.title,
        threshold=header.threshold,
        parts=parts,
    )
    return Pending(state=state, header=ask.header, licence=ask.licence)


def _check_enough(pending: Pending, found: _Parts) -> None:
    """Raise AuthenticationError where the escrows' shares alone cannot be enough: nothing is opened then."""
    wrong = _wrong_numbers(pending)
    if wrong and not _is_enough(pending, found):
        raise AuthenticationError(
            f"share {wrong[0]}, the device's share, is not the one that the seller committed to, or is sealed"
            " to other keys than this device has: ask for another licence, or take the price back"
        )


def _is_enough(pending: Pending, found: _Parts) -> bool:
    """Whether the shares that are not known to be wrong are as many as are needed."""
    return len(found.parts) - len(_wrong_numbers(pending)) >= pending.state.threshold


def _wrong_numbers(pending: Pending) -> list[int]:
    return [each.number for each in pending.state.parts if each.is_wrong]


def _share(
    part: CheckedPart, key: EscrowKey, package_id: bytes, r: Secret, opened: bytes
) -> Secret | AuthenticationError:
    """Return the share that m gives, or what is wrong with it; raises AuthenticationError for a wrong m."""
    try:
        z = rsakem.unblind(key.public, part.encapsulation, r, opened)
    except AuthenticationError as error:
        raise AuthenticationError(
            f"the escrow {key.id} answered wrongly for share {part.number}: {error}"
        ) from error
    try:
        return open_escrow_share(part, package_id, z)
    except AuthenticationError as error:
        return error
    finally:
        z.erase()
        r.erase()


def _with(pending: Pending, taken: Blinding) -> Pending:
    parts = [taken if each.number == taken.number else each for each in pending.state.parts]
    return replace(pending, state=replace(pending.state, parts=parts))


def _combine(pending: Pending, found: _Parts, held: Held, secrets: Secrets) -> agent.Progress:
    """Put the shares together if they are enough."""
    state, gathered = pending.state, _gathered(pending, found, held)
    if gathered.content_key is None:
        return agent.Progress(have=gathered.good, threshold=state.threshold, complete=False)
    entitlement = Entitlement(
        order=state.order,
        key=found.header.lead.document.key,
        package=state.package,
        digest=state.digest,
        title=state.title,
        threshold=state.threshold,
        content_key=gathered.content_key.reveal(),
    )
    gathered.content_key.erase()
    secrets.complete(entitlement, held)
    return agent.Progress(have=gathered.good, threshold=state.threshold, complete=True)


def _gathered(pending: Pending, found: _Parts, held: Held) -> Gathered:
    """Return what the shares that are here give, the device's own with them."""
    state, package_id, wrong = pending.state, found.header.package_id, _wrong_numbers(pending)
    shares = {each.number: Secret(each.share) for each in state.parts if each.share is not None}
    for part in found.parts:
        if part.key is None and part.number not in wrong:
            shares[part.number] = open_device_share(part, package_id, held.keys.kek)
    committed = found.header.header.key_commitment
    gathered = gather(found.parts, package_id, state.threshold, shares, committed)
    for share in shares.values():
        share.erase()
    return gathered
