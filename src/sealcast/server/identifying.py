"""Owns the operations on devices whose person the operator knows: identify, undo, list.

What is noted here counts for nobody but through certificates: those that are issued from then on say so, and
an escrow reads them. So undoing it revokes the ones that say so; others stand in their place at once, that
the device gets when it renews.
"""

from collections.abc import Callable

import msgspec

from sealcast.keyserver import store_certificates, store_identified
from sealcast.keyserver.calls import Call, Handler, Principal, Reply
from sealcast.keyserver.store_identified import Identified
from sealcast.keyserver.values import refusal
from sealcast.keyserver.when import iso_time
from sealcast.messages import operations_identifying as operations
from sealcast.messages.identifying import (
    DeviceIdentifyRequest,
    IdentifiedList,
    IdentifiedListRequest,
    IdentifiedRow,
)
from sealcast.messages.parties import is_line
from sealcast.messages.requests import Role
from sealcast.server.issuing import Issuer, says_identified
from sealcast.server.paging import fill

REASON_UNDONE = "privilegeWithdrawn"
"""Why certificates of a device are revoked whose identification is undone (RFC 5280 §5.3.1)."""


class IdentifyingDesk:
    """Carries out identifications.

    `find` gives a registered party, `forget` drops what is remembered of one, `on_revoked` is told that the
    revocation list has grown.
    """

    def __init__(
        self,
        *,
        issuer: Issuer,
        find: Callable[[Call, str], Principal | None],
        forget: Callable[[str], None],
        on_revoked: Callable[[], None],
    ) -> None:
        self._issuer = issuer
        self._find = find
        self._forget = forget
        self._on_revoked = on_revoked

    def identify(self, call: Call, request: DeviceIdentifyRequest) -> Reply:
        """Note that the person of a device is known, or no longer.

        Raises the refusals `unknown-device`, `not-certified` for symmetric keys, and `bad-request` for
        another party than a device, or evidence that is none.
        """
        device = self._find(call, request.device)
        if device is None:
            raise refusal("unknown-device", f"no device {request.device[:80]!r} is registered")
        if device.role != "device":
            raise refusal("bad-request", f"{device.id} is a {device.role}; only devices are identified")
        if request.undo:
            return self._undo(call, device)
        if device.standing is None:
            raise refusal(
                "not-certified",
                f"{device.id} has no certificate that could say so: it enrols with a key pair",
            )
        if not request.evidence.strip() or not is_line(request.evidence):
            raise refusal("bad-request", "evidence is one line: what says who the device's person is")
        found = Identified(device.id, request.evidence, call.caller.id, call.wall_ms)
        store_identified.put(call.connection, found)
        call.record("device-identify", f"{device.id} {request.evidence}")
        return Reply(IdentifiedList(devices=[_row(call, found)]))

    def list(self, call: Call, request: IdentifiedListRequest) -> Reply:
        """Return the identified devices, a page at a time."""
        found = store_identified.page(call.connection, request.after, request.limit + 1)
        rows, has_more = fill((_row(call, each) for each in found), request.limit)
        return Reply(IdentifiedList(devices=rows, next=rows[-1].device if has_more else None))

    def _undo(self, call: Call, device: Principal) -> Reply:
        if not store_identified.remove(call.connection, device.id):
            raise refusal("unknown-device", f"{device.id} is not identified; see: device identified")
        call.record("device-unidentify", device.id)
        if _is_good(device, call.wall_ms) and _is_certified(call, device.id):
            self._replace(call, device)
        return Reply(IdentifiedList(devices=[]))

    def _replace(self, call: Call, device: Principal) -> None:
        """Revoke a device's certificates; others that say nothing of its person take their place."""
        store_certificates.revoke(call.connection, call.wall_ms, REASON_UNDONE, principal_id=device.id)
        issued = self._issuer.certify(
            id=device.id,
            role=msgspec.convert(device.role, Role),
            signing=device.signing,
            kek=device.kek,
            wall_ms=call.wall_ms,
        )
        store_certificates.add(call.connection, issued.entries)
        self._on_revoked()
        self._forget(device.id)


def identifying_handlers(desk: IdentifyingDesk) -> tuple[Handler, ...]:
    """Return the handlers of the operations on devices whose person is known."""
    return (
        Handler(operations.DEVICE_IDENTIFY, desk.identify),
        Handler(operations.IDENTIFIED_LIST, desk.list),
    )


def _is_good(device: Principal, wall_ms: int) -> bool:
    """Whether a device has a certificate that counts: who was revoked is not let in again by this."""
    standing = device.standing
    return standing is not None and not standing.is_revoked and standing.expires_at_ms > wall_ms


def _is_certified(call: Call, device: str) -> bool:
    """Whether the newest certificate of a device says that it is identified."""
    newest = store_certificates.newest(call.connection, device)
    return newest is not None and says_identified(newest[0])


def _row(call: Call, found: Identified) -> IdentifiedRow:
    return IdentifiedRow(
        device=found.device,
        evidence=found.evidence,
        identified_by=found.identified_by,
        identified_at=iso_time(found.identified_at_ms),
        is_certified=_is_certified(call, found.device),
    )
