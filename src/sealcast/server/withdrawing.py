"""Owns withdrawal: a nonce for the erasure statement, its verification, and all that ends with it.

A statement that verifies closes the subscriptions, ends the receptions, records the erased keys and makes the
receipt, in one unit of work. One that is illegitimate changes nothing but the record of offences.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from sealcast.core.ids import ChannelNumber
from sealcast.core.ports import Random
from sealcast.keyserver import store_channels, store_requests
from sealcast.keyserver.calls import Call, Handler, Reply
from sealcast.keyserver.ports import ReceptionEnds
from sealcast.keyserver.values import refusal
from sealcast.keyserver.views import Views
from sealcast.keyserver.when import iso_time
from sealcast.messages import jose, operations
from sealcast.messages.encoding import b64url_encode, encode
from sealcast.messages.jwk import Jwk
from sealcast.messages.sealedanswers import SERVER_ID
from sealcast.messages.subscribing import (
    ALL_CHANNELS,
    KEY_IDS_MAX,
    EndRow,
    Receipt,
    WithdrawalBegun,
    WithdrawalRequest,
    Withdrawn,
    WithdrawRequest,
)
from sealcast.subscribers import store as allow_list
from sealcast.subscribers import store_offences, store_withdrawals
from sealcast.subscribers.service_withdrawal import (
    Facts,
    StatementRead,
    Verdict,
    Withdrawal,
    judge,
    read_statement,
)
from sealcast.subscribers.store_offences import Offence
from sealcast.subscribers.store_withdrawals import Beginning, Closing

NONCE_BYTES = 16
"""Beyond guessing: who does not know the nonce of a withdrawal cannot have been given it."""

OFFENCES_OPEN_MAX = 50
"""On record of one device and not pardoned: more say nothing new, and would let it fill the database."""


@dataclass(frozen=True, slots=True)
class _Received:
    """A statement as it came, its SHA-256, and what could be read of it."""

    token: str
    digest: bytes
    read: StatementRead


class WithdrawalDesk:
    """Begins and closes withdrawals. `signing` signs the receipts, `ends` ends the receptions."""

    def __init__(
        self, *, operator: str, signing: Jwk, views: Views, ends: ReceptionEnds, random: Random
    ) -> None:
        self._operator = operator
        self._signing = signing
        self._views = views
        self._ends = ends
        self._random = random

    def begin(self, call: Call, request: WithdrawalRequest) -> Reply:
        """Say what the erasure statement must carry; a withdrawal of the device that is open is superseded.

        The scope is all channels where the one asked for is the device's last: its KEK goes with it.
        """
        device = call.caller.id
        numbers = store_withdrawals.subscribed_channels(call.connection, device)
        if request.channel == ALL_CHANNELS:
            if not numbers:
                raise refusal("not-subscribed", f"{device} is not subscribed to any channel")
            wanted = numbers
        else:
            spec = self._views.get(call.connection, request.channel).spec
            if not allow_list.is_listed(call.connection, spec.number, device):
                raise refusal("not-subscribed", f"{device} is not subscribed to {spec.name}")
            wanted = [spec.number]
        scope = ALL_CHANNELS if wanted == numbers else str(wanted[0])
        nonce = b64url_encode(self._random.bytes(NONCE_BYTES))
        counter = store_withdrawals.next_counter(call.connection, device)
        store_withdrawals.begin(
            call.connection, Beginning(device, scope, _hash(nonce), counter, call.wall_ms)
        )
        keys = store_requests.live_keys_of(call.connection, device, wanted, KEY_IDS_MAX)
        names = _names(call, wanted)
        call.record("withdrawal", " ".join(names))
        return Reply(
            WithdrawalBegun(
                jti=request.jti,
                statement_nonce=nonce,
                counter=counter,
                scope=scope,
                channels=names,
                key_ids=[str(key_id) for key_id in sorted(keys)],
            )
        )

    def withdraw(self, call: Call, request: WithdrawRequest) -> Reply:
        """Verify an erasure statement and close what it is for; raises the refusal `erasure-refused`.

        The statement that closed a withdrawal gets the same receipt however often it comes.
        """
        token = request.statement
        read = read_statement(token, call.caller.id, call.caller.signing)
        received = _Received(token, _hash(token), read)
        facts = self._facts(call, received)
        verdict = judge(facts)
        if verdict.kind == "repeat" and facts.same is not None:
            return Reply(Withdrawn(jti=request.jti, receipt=facts.same.receipt or ""))
        if verdict.kind != "valid" or facts.began is None:
            raise self._offence(call, received, verdict)
        return Reply(Withdrawn(jti=request.jti, receipt=self._close(call, received, facts.began)))

    def _facts(self, call: Call, received: _Received) -> Facts:
        """Look up what a statement is judged by."""
        device, statement = call.caller.id, received.read.statement
        same = store_withdrawals.find_by_statement(call.connection, device, received.digest)
        began = None
        if statement is not None:
            nonce = _hash(statement.statement_nonce)
            began = store_withdrawals.find_by_nonce(call.connection, nonce)
        return Facts(
            operator=self._operator,
            device=device,
            read=received.read,
            same=same,
            began=began,
            is_back=same is not None and _is_back(call, same),
        )

    def _close(self, call: Call, received: _Received, began: Withdrawal) -> str:
        """End the subscriptions and receptions, record the erased keys, and return the receipt."""
        device, now_ms = call.caller.id, call.wall_ms
        numbers = store_withdrawals.subscribed_channels(call.connection, device)
        closed = [number for number in numbers if began.scope in {ALL_CHANNELS, str(number)}]
        for number in closed:
            store_withdrawals.end_subscription(call.connection, device, number, now_ms)
        # Channel by channel: whoever listens to its events is told of each.
        ended = [EndRow(device=device, channel=number, reason="withdrawn") for number in closed]
        self._ends.end_receptions(call.connection, ended, now_ms)
        erased = store_requests.granted_among(call.connection, device, received.read.erased)
        store_withdrawals.add_erasures(call.connection, began.number, device, erased, now_ms)
        names = _names(call, closed)
        receipt = Receipt(
            operator=self._operator,
            number=began.number,
            device=device,
            channels=names,
            closed_at=iso_time(now_ms),
            erased=[str(key_id) for key_id in erased],
            statement_sha256=received.digest.hex(),
        )
        proof = jose.sign(encode(receipt), self._signing, kid=SERVER_ID, typ=jose.TYP_RECEIPT)
        closing = Closing(began.number, device, received.token, received.digest, proof, now_ms)
        store_withdrawals.close(call.connection, closing)
        call.record("withdraw", " ".join((str(began.number), *names)))
        return proof

    def _offence(self, call: Call, received: _Received, verdict: Verdict) -> Exception:
        """Record an illegitimate statement and return the warning."""
        device = call.caller.id
        if store_offences.count_open(call.connection, device) < OFFENCES_OPEN_MAX:
            offence = Offence(device, verdict.kind, verdict.detail, received.digest, call.wall_ms)
            store_offences.add_offence(call.connection, offence)
            call.record("offence", f"{verdict.kind}: {verdict.detail}")
        return refusal(
            "erasure-refused",
            f"warning: the erasure statement of {device} is {verdict.kind} ({verdict.detail}); its"
            f" subscriptions go on and the offence is on record: begin anew with sealcast withdraw, and ask"
            f" {self._operator} to pardon it",
        )


def withdrawal_handlers(desk: WithdrawalDesk) -> tuple[Handler, ...]:
    """Return the handlers of a device's withdrawal."""
    return (
        Handler(operations.WITHDRAWAL, desk.begin),
        Handler(operations.WITHDRAW, desk.withdraw),
    )


def _is_back(call: Call, closed: Withdrawal) -> bool:
    """Whether the device has subscribed, since a withdrawal was closed, to a channel of its scope."""
    since = store_withdrawals.subscribed_since(call.connection, closed.device, closed.number)
    return bool(since) if closed.scope == ALL_CHANNELS else int(closed.scope) in since


def _names(call: Call, numbers: Iterable[ChannelNumber]) -> list[str]:
    """Return the names of live channels, in the order of their numbers."""
    names = {each.spec.number: each.spec.name for each in store_channels.live(call.connection)}
    return [names[number] for number in sorted(numbers) if number in names]


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
