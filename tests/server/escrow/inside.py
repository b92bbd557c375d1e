"""Owns an operator with escrows in this process, without a network, and the parties of a sale.

Escrows are the real ones, called as ASGI has it, on simulated time; certificates and the list of revoked ones
are made as the key server makes them, and read from a file.
"""

import asyncio
import atexit
import functools
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.device.certified import read_certificate
from sealcast.device.vault import Credential
from sealcast.keyserver.store_certificates import Revoked
from sealcast.messages import operations_escrow as operations
from sealcast.messages.encoding import b64url_encode
from sealcast.messages.enrolment import Certificates
from sealcast.messages.escrow import EscrowKeyRow, LeadKey, OrderRow
from sealcast.messages.jwk import Jwk, new_sealing_pair, new_signing_pair
from sealcast.messages.requests import Role
from sealcast.server.escrow.open_escrow import EscrowServer, open_escrow
from sealcast.server.escrow.settings import EscrowSettings
from sealcast.server.escrow.state import create_escrow_state
from sealcast.server.issuing import Issuer
from sealcast.server.state import load_server_state
from sealcast.testing import SimClock
from sealcast.testing.clock import FIRST_WALL_NS
from server.inprocess import MEMORY, Guest, template
from server.running import RANDOM, Reply
from storage.places import address

URL = "https://127.0.0.1:8446"
EURO = 1_000_000
DAYS = 2
PACKAGE = b64url_encode(bytes(16))
Answer = TypeVar("Answer")


@dataclass
class Party:
    """A party with its keys, and the certificates that it has at the moment."""

    id: str
    role: Role
    signing: Jwk
    kek: Jwk
    certificates: Certificates


class Market:
    """An operator: its issuing CA, its clock, its escrows, and who was certified."""

    def __init__(self, *escrows: str, wall_ns: int = FIRST_WALL_NS, **settings: Any) -> None:
        """Begin with escrows of these ids, in memory; `settings` are theirs."""
        made, self.credential = template()
        self._kept = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.folder, self.clock = Path(self._kept.name), SimClock(wall_ns=wall_ns)
        self.keys = load_server_state(made)
        self.issuer = Issuer(self.keys.issuer, self.keys.operator, RANDOM, days=DAYS)
        self.crl, self.revoked = self.folder / "crl.der", list[Revoked]()
        self.runner = asyncio.Runner()
        self.write_crl()
        self.escrows = {name: Inside(self, name, settings) for name in escrows}

    @property
    def wall_ms(self) -> int:
        """What the operator's clocks say."""
        return self.clock.wall_ns() // NS_PER_MS

    def write_crl(self) -> None:
        """Make the list of revoked certificates as of now."""
        self.crl.write_bytes(self.issuer.crl(self.revoked, self.wall_ms))

    def revoke(self, party: Party) -> None:
        """Revoke a party's present certificates, and tell nobody yet."""
        issued = (party.certificates.signing, party.certificates.kek)
        self.revoked += [Revoked(serial(pem), self.wall_ms, "keyCompromise") for pem in issued]

    def certify(self, party: Party, *, identified: bool) -> Party:
        """Give a party new certificates for its keys."""
        issued = self.issuer.certify(
            id=party.id,
            role=party.role,
            signing=party.signing.public(),
            kek=party.kek.public(),
            wall_ms=self.wall_ms,
            is_identified=identified,
        )
        return replace(party, certificates=issued.certificates)

    def party(self, name: str, role: Role = "device", *, identified: bool = True) -> Party:
        """Return somebody with fresh keys, certified."""
        nothing = Certificates(signing="", kek="", issuer="")
        fresh = Party(name, role, new_signing_pair(RANDOM), new_sealing_pair(RANDOM), nothing)
        return self.certify(fresh, identified=identified)

    def let_pass(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(int(seconds * NS_PER_S))
        for each in self.escrows.values():
            each.operator.nonce = ""

    def close(self) -> None:
        """End all escrows."""
        for each in self.escrows.values():
            each.close()
        self.runner.close()
        self._kept.cleanup()


class Inside:
    """One escrow; `server` is there between its start and its end."""

    def __init__(self, market: Market, name: str, settings: dict[str, Any]) -> None:
        self.market, self.name = market, name
        self.folder = market.folder / name
        shutil.copytree(escrow_template(name), self.folder)
        place = address(self.folder / "escrow.sqlite", is_upgraded=True)
        self.settings = EscrowSettings(
            self.folder,
            "127.0.0.1",
            8446,
            database=place,
            **{"crl_file": market.crl, "urls": (URL,), **settings},
        )
        self.server = self._open()
        self.read_crl()
        self.operator = self.guest(market.credential)

    def _open(self) -> EscrowServer:
        async def opened() -> EscrowServer:
            return open_escrow(load_server_state(self.folder), self.settings, self.market.clock, RANDOM)

        return self.run(opened())

    def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Run something in the loop that all escrows share."""
        return self.market.runner.run(work)

    def restart(self) -> None:
        """End the escrow and begin it again, over the same files."""
        self.run(self.server.close())
        self.server = self._open()
        self.operator = self.guest(self.market.credential)

    def read_crl(self) -> None:
        """Have it read the operator's list of revoked certificates."""
        self.run(self.server.watch.read())

    def guest(self, credential: Credential) -> Guest:
        """Return the side of whoever a credential is of."""
        return Guest(credential, URL, None, None, escrow=self.name, app=self.server.app)  # type: ignore[arg-type]

    def side(self, party: Party) -> Guest:
        """Return a party's side, whether it is known or not."""
        known = self.market.credential
        changed = {"role": party.role, "id": party.id, "signing": party.signing, "kek": party.kek}
        return self.guest(msgspec.structs.replace(known, certificates=party.certificates, **changed))

    def ask(self, party: Party | None, operation: Any, **fields: Any) -> Reply:
        """Ask as a party, or as the operator for None."""
        guest = self.operator if party is None else self.side(party)
        return self.run(guest.ask(operation, **fields))

    def must(self, party: Party | None, operation: Any, **fields: Any) -> Any:
        """Do as `ask` and return the answer; the escrow must say yes."""
        reply = self.ask(party, operation, **fields)
        assert reply.status == 200, (reply.problem, reply.detail)
        return reply.answer

    def join(self, party: Party) -> Reply:
        """Have a party join with the certificates that it has."""
        return self.ask(party, operations.ESCROW_JOIN, certificates=party.certificates)

    def admit(self, party: Party, fee_per_mille: int = 100) -> None:
        """Have a seller join, and admit it."""
        assert self.join(party).status == 200
        self.must(None, operations.SELLER_ADMIT, seller=party.id, fee_per_mille=fee_per_mille)

    def add_key(
        self, party: Party, price_class: str, price_micro: int, upon: LeadKey | None = None
    ) -> EscrowKeyRow:
        """Have a seller's key made."""
        terms = {"price_class": price_class, "price_micro": price_micro, "currency": "EUR", "upon": upon}
        (row,) = self.must(party, operations.ESCROW_KEY_ADD, **terms).keys
        return row

    def pay_in(self, party: Party, amount_micro: int, reference: str) -> None:
        """Have a buyer pay in."""
        fields = {"buyer": party.id, "amount_micro": amount_micro, "currency": "EUR"}
        self.must(None, operations.DEPOSIT, **fields, reference=reference)

    def place(self, party: Party, key: EscrowKeyRow, *, paid: bool = True) -> OrderRow:
        """Have a buyer place an order under a key, and pay it."""
        (order,) = self.must(party, operations.ORDER_PLACE, key=key.key, package=PACKAGE).orders
        if paid:
            (order,) = self.must(party, operations.ORDER_PAY, order=order.order).orders
        return order

    def show(self, order: OrderRow) -> OrderRow:
        """Return an order as it is by now."""
        (row,) = self.must(None, operations.ORDER_SHOW, order=order.order).orders
        return row

    def open(self, party: Party, order: str, key: EscrowKeyRow, blinded: bytes, **fields: Any) -> Reply:
        """Have a device ask for an opening."""
        asked = {"order": order, "key": key.key, "blinded": blinded}
        given = {"certificate": party.certificates.signing, **fields}
        return self.ask(party, operations.ORDER_OPEN, **asked, **given)

    def dump(self) -> list[tuple[Any, ...]]:
        """Return all that the escrow's own tables and its ledger say."""
        tables = ("escrow_orders", "escrow_openings", "escrow_receipts", "escrow_keys", "ledger_postings")

        def rows(connection: sa.Connection) -> list[tuple[Any, ...]]:
            found = (connection.execute(sa.text(f"SELECT * FROM {table}")) for table in tables)  # noqa: S608 - our own names
            return sorted((tuple(row) for each in found for row in each), key=repr)

        return self.run(self.server.unit_of_work.run(rows))

    def close(self) -> None:
        """End it."""
        self.run(self.server.close())


def serial(pem: str) -> str:
    """Return a certificate's serial number in hexadecimal."""
    return f"{read_certificate(pem).serial_number:x}"


@functools.cache
def escrow_template(name: str) -> Path:
    """Return a state directory to be copied, which goes with this process."""
    kept = tempfile.TemporaryDirectory()
    atexit.register(kept.cleanup)
    directory = Path(kept.name) / name
    create_escrow_state(
        directory,
        template()[0],
        id=name,
        hosts=("127.0.0.1",),
        urls=(URL,),
        random=RANDOM,
        wall_ns=SimClock().wall_ns(),
    )
    return directory
