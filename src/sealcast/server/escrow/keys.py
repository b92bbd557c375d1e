"""Owns an escrow's sellers and keys: who may sell, and one RSA key for each of its price classes.

A key is made before the transaction that records it, because that takes a second or more; its price and
payee are those of the record, whatever a request or a package says.
"""

import asyncio
from functools import partial

import msgspec
import sqlalchemy as sa

from sealcast.core.errors import RefusedError, UsageError
from sealcast.escrow import store_keys, store_orders, store_sellers
from sealcast.escrow.house import House
from sealcast.escrow.store_keys import EscrowKey
from sealcast.keys.rsakem import PUBLIC_EXPONENT
from sealcast.keyserver import store_principals
from sealcast.keyserver.calls import Call, Handler, Principal, Reply
from sealcast.keyserver.values import refusal
from sealcast.ledger.money import currency
from sealcast.messages import jose, operations_escrow
from sealcast.messages.encoding import encode
from sealcast.messages.escrow import (
    TYP_ESCROW_KEY,
    EscrowKeyAddRequest,
    EscrowKeyCloseRequest,
    EscrowKeyList,
    EscrowKeyListRequest,
    EscrowKeyRow,
    KeyDocument,
    SellerAdmitRequest,
    SellerList,
    SellerListRequest,
    SellerRow,
)
from sealcast.server.escrow.keyring import Fresh, Keyring
from sealcast.storage.reading import Reader

DOCUMENT_VERSION = 1
BITS_STEP = 256
"""Both primes are as long as half the key, in whole bytes; odd lengths are of use to nobody."""

KEYS_MAX = 1_000
"""Price classes of one seller."""

PAGE = 50
"""Keys in one answer, about 3 kB each."""

MAKING_MAX = 8
"""Keys that are made, or wait for it, at one time; one after the other."""

RETRY_AFTER_S = 2.0


class Ahead(msgspec.Struct, frozen=True):
    """What is there before the transaction: a fresh key, None where there is one on record."""

    fresh: Fresh | None


class KeyDesk:
    """Admits sellers, makes and shows keys; `urls` are where parties reach the escrow."""

    def __init__(self, *, house: House, urls: tuple[str, ...], keyring: Keyring, reader: Reader) -> None:
        self._house = house
        self.urls = urls
        self._keyring = keyring
        self._reader = reader
        self._making: dict[tuple[str, str, int], asyncio.Task[Fresh]] = {}
        self._turn = asyncio.Lock()

    def admit(self, call: Call, request: SellerAdmitRequest) -> Reply:
        """Let a party sell, or change what of its prices stays here; that of orders to come."""
        role = store_principals.role_of(call.connection, request.seller)
        if role is not None and role != "seller":
            raise refusal("wrong-role", f"{request.seller} is a {role}, not a seller")
        store_sellers.admit(call.connection, request.seller, request.fee_per_mille, call.wall_ms)
        call.record("seller-admit", f"{request.seller} fee {request.fee_per_mille} per mille")
        return self.sellers(call, request)

    def sellers(self, call: Call, _: SellerListRequest | SellerAdmitRequest) -> Reply:
        """Return all sellers."""
        rows = [
            SellerRow(
                seller=each.id,
                fee_per_mille=each.fee_per_mille,
                keys=each.keys,
                admitted_at_ms=each.admitted_at_ms,
            )
            for each in store_sellers.sellers(call.connection)
        ]
        return Reply(SellerList(sellers=rows))

    async def make(self, caller: Principal, request: EscrowKeyAddRequest) -> Ahead:
        """Make the key that is asked for, unless it is there; asked again meanwhile, wait for the same."""
        if await self._reader.read(partial(self._is_there, caller, request)):
            return Ahead(None)
        wanted = caller.id, request.price_class, request.bits
        task = self._making.get(wanted)
        if task is None:
            if len(self._making) >= MAKING_MAX:
                raise _busy("the escrow makes many keys at the moment")
            task = self._making[wanted] = asyncio.create_task(self._make(request.bits))
            task.add_done_callback(lambda _: self._making.pop(wanted, None))
        # Whoever asked may go away; who asks again gets the key that was begun.
        return Ahead(await asyncio.shield(task))

    def add(self, call: Call, request: EscrowKeyAddRequest) -> Reply:
        """Record a key for a new price class; asked again with the same terms, return the same key."""
        seller = call.caller.id
        terms = request.price_micro, request.currency, request.upon
        found = self._find(call.connection, seller, request)
        if found is None:
            fresh = call.ahead.fresh if isinstance(call.ahead, Ahead) else None
            if fresh is None:
                raise _busy("another request for this key was under way")
            found = self._record(call, request, fresh)
        elif (found.price_micro, found.currency, found.upon) != terms:
            raise refusal("exists", f"{request.price_class} has another price or lead, which never changes")
        return Reply(EscrowKeyList(keys=[self._row(call, found)]))

    def list(self, call: Call, request: EscrowKeyListRequest) -> Reply:
        """Return the caller's keys, to an administrator all, a page of them."""
        seller = call.caller.id if call.caller.role == "seller" else None
        found = sorted(store_keys.keys(call.connection, seller), key=lambda each: (each.added_at_ms, each.id))
        counts = store_orders.counts_by_key(call.connection)
        page = found[request.after : request.after + PAGE]
        behind = request.after + len(page)
        rows = [self._row(call, each, counts) for each in page]
        return Reply(EscrowKeyList(keys=rows, next=behind if behind < len(found) else None))

    def close(self, call: Call, request: EscrowKeyCloseRequest) -> Reply:
        """Have a key of the caller's take no new orders."""
        found = store_keys.find(call.connection, request.key)
        if found is None or found.seller != call.caller.id:
            raise refusal("unknown-key", f"{call.caller.id} has no key of that id here")
        if store_keys.close(call.connection, found.id, call.wall_ms):
            call.record("escrow-key-close", f"{found.id} {found.price_class}")
        closed = store_keys.find(call.connection, request.key) or found
        return Reply(EscrowKeyList(keys=[self._row(call, closed)]))

    async def _make(self, bits: int) -> Fresh:
        async with self._turn:
            return await asyncio.to_thread(self._keyring.make, bits)

    def _is_there(self, caller: Principal, request: EscrowKeyAddRequest, connection: sa.Connection) -> bool:
        return self._find(connection, caller.id, request) is not None

    def _find(self, connection: sa.Connection, seller: str, request: EscrowKeyAddRequest) -> EscrowKey | None:
        """Return the key of a seller's price class; raises a refusal where none may be made."""
        if store_sellers.find(connection, seller) is None:
            raise refusal("not-admitted", f"this escrow's operator has not admitted {seller} as a seller")
        found = store_keys.of_class(connection, seller, request.price_class)
        if found is not None:
            return found
        try:
            currency(request.currency)
        except UsageError as error:
            raise refusal("bad-request", str(error)) from error
        if request.upon is not None and request.upon.escrow == self._house.id:
            raise refusal("bad-request", "a further share is opened upon orders at another escrow")
        if request.bits % BITS_STEP:
            raise refusal("bad-request", f"the length of a key is a multiple of {BITS_STEP} bits")
        if len(store_keys.keys(connection, seller)) >= KEYS_MAX:
            raise refusal("bad-request", f"a seller has at most {KEYS_MAX} price classes at one escrow")
        return None

    def _record(self, call: Call, request: EscrowKeyAddRequest, fresh: Fresh) -> EscrowKey:
        """Record a fresh key with the document that certifies it."""
        document = KeyDocument(
            version=DOCUMENT_VERSION,
            escrow=self._house.id,
            operator=self._house.operator,
            key=fresh.id,
            modulus=fresh.modulus,
            exponent=PUBLIC_EXPONENT,
            seller=call.caller.id,
            price_class=request.price_class,
            price_micro=request.price_micro,
            currency=request.currency,
            servers=list(self.urls),
            created_at_ms=call.wall_ms,
            upon=request.upon,
        )
        key = EscrowKey(
            id=fresh.id,
            seller=call.caller.id,
            price_class=request.price_class,
            price_micro=request.price_micro,
            currency=request.currency,
            bits=request.bits,
            modulus=fresh.modulus,
            wrapped=fresh.wrapped,
            token_object=fresh.token_object,
            document=jose.sign(encode(document), self._house.signing, kid=self._house.id, typ=TYP_ESCROW_KEY),
            added_at_ms=call.wall_ms,
        )
        store_keys.add(call.connection, key)
        call.record("escrow-key-add", f"{key.id} {key.price_class} {key.price_micro} {key.currency}")
        return key

    def _row(self, call: Call, key: EscrowKey, counts: dict[str, int] | None = None) -> EscrowKeyRow:
        orders = store_orders.counts_by_key(call.connection) if counts is None else counts
        return EscrowKeyRow(
            key=key.id,
            seller=key.seller,
            price_class=key.price_class,
            price_micro=key.price_micro,
            currency=key.currency,
            bits=key.bits,
            is_open=key.is_open,
            orders=orders.get(key.id, 0),
            document=key.document,
            certificate=self._house.certificate,
        )


def key_handlers(desk: KeyDesk) -> tuple[Handler, ...]:
    """Return the handlers of the operations on sellers and keys."""
    return (
        Handler(operations_escrow.SELLER_ADMIT, desk.admit),
        Handler(operations_escrow.SELLER_LIST, desk.sellers),
        Handler(operations_escrow.ESCROW_KEY_ADD, desk.add, ahead=desk.make),
        Handler(operations_escrow.ESCROW_KEY_LIST, desk.list),
        Handler(operations_escrow.ESCROW_KEY_CLOSE, desk.close),
    )


def _busy(why: str) -> RefusedError:
    no = refusal("busy", f"{why}; ask again in a moment")
    return RefusedError(no.type, no.detail, no.status, retry_after_s=RETRY_AFTER_S)
