"""Owns enrolment: operators invite, a newcomer brings a token and its keys and becomes a party, once."""

from collections.abc import Iterable
from dataclasses import replace

import msgspec

from sealcast.core.ports import Random
from sealcast.keyserver import store_certificates, store_invitations
from sealcast.keyserver.calls import Call, Handler, Reply
from sealcast.keyserver.registry import RegistryDesk, check_id
from sealcast.keyserver.store_invitations import CANCELLED, EXPIRED, USED, Invited
from sealcast.keyserver.values import refusal
from sealcast.keyserver.when import iso_time
from sealcast.messages import operations
from sealcast.messages.answers import Done
from sealcast.messages.enrolment import (
    INVITATION_S_MAX,
    Certificates,
    Enrolled,
    EnrolRequest,
    InvitationCancelRequest,
    InvitationList,
    InvitationRow,
    InviteRequest,
    token_hash,
)
from sealcast.messages.jwk import thumbprint
from sealcast.messages.requests import ListRequest, RegisteredKeys, Role
from sealcast.server.assigning import Assignments
from sealcast.server.certifying import CertificateDesk
from sealcast.server.issuing import Issuer

TOKEN_HASH_BYTES = 32
NAME_BYTES = 4
NAME_TRIES = 8
"""Names of 32 random bits: with a million parties, eight tries fail once in 10^29."""


class EnrolmentDesk:
    """Carries out invitations and enrolments."""

    def __init__(
        self, *, registry: RegistryDesk, assignments: Assignments, issuer: Issuer, random: Random
    ) -> None:
        self._registry = registry
        self._assignments = assignments
        self._issuer = issuer
        self._random = random

    def invite(self, call: Call, request: InviteRequest) -> Reply:
        """Let whoever holds a token enrol, once and in time."""
        if len(request.token_hash) != TOKEN_HASH_BYTES:
            raise refusal("bad-request", f"the hash of a token has {TOKEN_HASH_BYTES} bytes")
        if not 0 < request.valid_s <= INVITATION_S_MAX:
            raise refusal("bad-request", f"an invitation lives 1 to {INVITATION_S_MAX} s")
        if request.id is not None:
            check_id(request.id)
            self._registry.check_free(call, request.id)
        if store_invitations.find(call.connection, request.token_hash) is not None:
            raise refusal("exists", "there is an invitation of this token already; make another token")
        invited = Invited(
            number=0,
            role=request.role,
            id=request.id,
            channels=self._assignments.named(call, request.role, request.channels),
            expires_at_ms=call.wall_ms + request.valid_s * 1_000,
        )
        number = store_invitations.add(call.connection, request.token_hash, invited, call.wall_ms)
        call.record("invite", f"{number} {request.role} {request.id or ''}".rstrip())
        return Reply(InvitationList(invitations=[self._row(call, replace(invited, number=number))]))

    def list(self, call: Call, request: ListRequest) -> Reply:
        """Return the newest invitations, or those of them that are for one channel."""
        found = store_invitations.newest(call.connection)
        if request.channel is not None:
            (number,) = self._assignments.named(call, "device", [request.channel])
            found = [each for each in found if number in each.channels]
        return Reply(InvitationList(invitations=[self._row(call, each) for each in found]))

    def cancel(self, call: Call, request: InvitationCancelRequest) -> Reply:
        """Withdraw an invitation that nobody used yet."""
        if not store_invitations.cancel(call.connection, request.number, call.wall_ms):
            raise refusal(
                "unknown-invitation",
                f"there is no open invitation {request.number}; see: registry invitations",
            )
        call.record("invitation-cancel", str(request.number))
        return Reply(Done(jti=request.jti))

    def enrol(self, call: Call, request: EnrolRequest) -> Reply:
        """Make a newcomer a party; asked again with the same keys, give the same answer.

        Everything is checked before the first write. Raises the refusals `not-invited`, `invitation-used`,
        `invitation-expired`, `exists` and `not-sold`, and FormatError for keys that do not do.
        """
        invited = store_invitations.find(call.connection, token_hash(request.token))
        state = CANCELLED if invited is None else invited.state(call.wall_ms)
        if invited is None or state == CANCELLED:
            raise refusal("not-invited", "there is no such invitation, or it was withdrawn; ask for another")
        if state == USED:
            # Whatever id is asked for this time: with another no, a newcomer would throw its keys away.
            return self._again(call, request, invited)
        if request.id is not None and invited.id not in {None, request.id}:
            raise refusal("not-invited", f"this invitation is for {invited.id}; leave the id out")
        if state == EXPIRED:
            raise refusal("invitation-expired", "the invitation was not used in time; ask for another")
        return self._admit(call, request, invited)

    def _admit(self, call: Call, request: EnrolRequest, invited: Invited) -> Reply:
        party, role = invited.id or request.id or self._new_name(call, invited), _role(invited)
        keys = RegisteredKeys(signing=call.caller.signing, kek=call.caller.kek)
        names = self._assignments.names(call, invited.channels)
        issued = None
        if request.csr is not None:
            issued = self._issuer.certify(
                id=party, role=role, signing=keys.signing, kek=keys.kek, wall_ms=call.wall_ms
            )
        own = replace(call, caller=replace(call.caller, id=party))
        self._registry.register(
            own,
            party,
            role,
            keys,
            names,
            is_certified=issued is not None,
            is_own_choice=invited.id is None and request.id is not None,
        )
        if issued is not None:
            store_certificates.add(call.connection, issued.entries)
        key = thumbprint(keys.signing)
        store_invitations.use(call.connection, invited.number, party, key, call.wall_ms)
        own.record("enrol", f"{role} {party} invitation {invited.number}")
        certificates = issued.certificates if issued is not None else None
        return _enrolled(request, party, role, names.values(), certificates)

    def _again(self, call: Call, request: EnrolRequest, invited: Invited) -> Reply:
        """Answer a newcomer whose answer was lost; anybody else comes too late."""
        found = self._registry.find(call, invited.used_by or "")
        is_same = (
            found is not None
            and thumbprint(call.caller.signing) == invited.used_key
            and (found.signing, found.kek) == (call.caller.signing, call.caller.kek)
        )
        if found is None or not is_same:
            raise refusal("invitation-used", "this invitation was used before; ask for another")
        pair = store_certificates.newest(call.connection, found.id)
        certificates = self._issuer.in_pem(*pair) if found.standing is not None and pair else None
        names = self._assignments.names(call, invited.channels)
        return _enrolled(request, found.id, _role(invited), names.values(), certificates)

    def _new_name(self, call: Call, invited: Invited) -> str:
        for _ in range(NAME_TRIES):
            name = f"{invited.role}-{self._random.bytes(NAME_BYTES).hex()}"
            if not self._registry.is_taken(call, name):
                return name
        raise refusal("exists", "no free name was found; give one with --id")

    def _row(self, call: Call, invited: Invited) -> InvitationRow:
        return InvitationRow(
            number=invited.number,
            role=invited.role,
            id=invited.id,
            channels=sorted(self._assignments.names(call, invited.channels).values()),
            state=invited.state(call.wall_ms),
            expires_at=iso_time(invited.expires_at_ms),
            used_by=invited.used_by,
        )


def enrolment_handlers(enrolment: EnrolmentDesk, certificates: CertificateDesk) -> tuple[Handler, ...]:
    """Return the handlers of the operations that make parties and certify them."""
    return (
        Handler(operations.INVITE, enrolment.invite),
        Handler(operations.INVITATION_LIST, enrolment.list),
        Handler(operations.INVITATION_CANCEL, enrolment.cancel),
        Handler(operations.ENROL, enrolment.enrol),
        Handler(operations.CERTIFICATE_ISSUE, certificates.issue),
        Handler(operations.CERTIFICATE_RENEW, certificates.renew),
        Handler(operations.CERTIFICATE_LIST, certificates.list),
        Handler(operations.CERTIFICATE_REVOKE, certificates.revoke),
    )


def _role(invited: Invited) -> Role:
    role: Role = msgspec.convert(invited.role, Role)
    return role


def _enrolled(
    request: EnrolRequest, party: str, role: Role, channels: Iterable[str], certificates: Certificates | None
) -> Reply:
    return Reply(
        Enrolled(jti=request.jti, id=party, role=role, channels=sorted(channels), certificates=certificates)
    )
