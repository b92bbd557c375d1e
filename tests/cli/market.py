"""Owns a market for tests of the command line: escrows that run, a seller with packages, a buyer's device.

Key server and certificates are those of the operator's terminal; the escrows and the device agent are the
real ones in threads of this process, over HTTPS and a Unix socket.
"""

import asyncio
import contextlib
import io
import json
import logging
import threading
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import structlog
from msgspec.structs import replace

from agent.agents import Agent
from cli.terminal import Terminal, free_port
from sealcast.cli.escrowasking import Asker
from sealcast.cli.main import run
from sealcast.client import KeyServerClient
from sealcast.device.files import write_private
from sealcast.device.vault import load_vault
from sealcast.messages import operations_escrow as operations
from sealcast.messages.escrow import BalanceList, EscrowKeyList, EscrowKeyRow, LeadKey, OrderList, SellerList
from sealcast.messages.package import PackageEscrow
from sealcast.sealpack.header import read_header, sign_header
from sealcast.sealpack.licence import seal_content_key
from sealcast.sealpack.newfile import NewFile
from sealcast.sealpack.packing import Draft, Seller, Terms, draft, write_package
from sealcast.server.escrow.serve import serve_escrow
from sealcast.server.escrow.settings import EscrowSettings
from sealcast.server.escrow.state import create_escrow_state
from sealcast.transport.system import SystemClock, SystemRandom

PRICE, BUYER, SELLER = 4_990_000, "TV-0001", "shop"
CONTENT = bytes(range(256)) * 700
T = TypeVar("T")


def typed(terminal: Terminal, *arguments: str) -> str:
    """Run a command of a terminal in this process, where no test runs yet, and return what it printed."""
    root = logging.getLogger()
    handlers, level, printed = root.handlers, root.level, io.StringIO()
    try:
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
            patch.chdir(terminal.folder)
            for name, value in terminal.environment.items():
                patch.setenv(name, value)
            status = run(list(arguments))
    finally:
        root.handlers, root.level = handlers, level
        structlog.reset_defaults()
    assert status == 0, (arguments, printed.getvalue())
    return printed.getvalue()


@contextlib.contextmanager
def running_escrow(settings: EscrowSettings) -> Iterator[None]:
    """Run an escrow in a thread for as long as the block."""
    stop, loop = asyncio.Event(), asyncio.new_event_loop()
    ready, ended = threading.Event(), threading.Event()
    faults: list[BaseException] = []

    def serve() -> None:
        try:
            loop.run_until_complete(
                serve_escrow(
                    settings,
                    clock=SystemClock(),
                    random=SystemRandom(),
                    ready=lambda _: ready.set(),
                    stop=stop,
                )
            )
        except BaseException as error:  # noqa: BLE001 - told to the thread that waits
            faults.append(error)
        finally:
            ended.set()
            ready.set()
            loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert ready.wait(30)
        assert not faults, faults
        yield
    finally:
        if not ended.is_set():
            loop.call_soon_threadsafe(stop.set)
        thread.join(30)


@dataclass
class House:
    """An escrow: its settings, and what ends it."""

    name: str
    url: str
    settings: EscrowSettings
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def start(self) -> None:
        """Begin to serve."""
        self.stack.enter_context(running_escrow(self.settings))

    def stop(self) -> None:
        """End it; it may begin again."""
        self.stack.close()


@dataclass
class Market:
    """The operator with its escrows, a seller and a device, each at a terminal of its own."""

    operator: Terminal
    shop: Terminal
    viewer: Terminal
    houses: list[House]
    agent: Agent

    def asker(self, terminal: Terminal, vault: str) -> Asker:
        """Return who asks with a vault."""
        credential = load_vault(terminal.folder / vault)
        return Asker(credential, None, credential.certificates)

    def as_operator(self, house: House, operation: Any, kind: type[T], **fields: Any) -> T:
        """Ask an escrow as its administrator."""
        return self._ask(self.asker(self.operator, "operator.vault"), house, operation, kind, **fields)

    def as_seller(self, house: House, operation: Any, kind: type[T], **fields: Any) -> T:
        """Ask an escrow as the seller."""
        return self._ask(self.asker(self.shop, "sealcast.vault"), house, operation, kind, **fields)

    def _ask(self, asker: Asker, house: House, operation: Any, kind: type[T], **fields: Any) -> T:
        def work(client: KeyServerClient) -> Awaitable[T]:
            return client.expect(operation, kind, **fields)  # type: ignore[type-var]

        return asker.ask([house.url], work)

    def deposit(self, amount_micro: int, reference: str, buyer: str = BUYER) -> None:
        """Have a buyer pay in at the first escrow."""
        fields = {"buyer": buyer, "amount_micro": amount_micro, "currency": "EUR", "reference": reference}
        self.as_operator(self.houses[0], operations.DEPOSIT, BalanceList, **fields)

    def balances(self) -> dict[str, int]:
        """Return what buyer and seller have at the first escrow, and the escrow itself has."""
        found = {}
        for party in (BUYER, SELLER, None):
            answer = self.as_operator(self.houses[0], operations.BALANCE, BalanceList, party=party)
            found[party or "escrow"] = sum(row.balance_micro for row in answer.balances)
        return found

    def states(self) -> list[str]:
        """Return the states of all orders at the first escrow."""
        orders = self.as_operator(self.houses[0], operations.ORDER_LIST, OrderList).orders
        return [row.state for row in orders]

    def pack(
        self,
        name: str,
        *,
        count: int = 1,
        threshold: int = 1,
        is_licensed: bool = False,
        is_forged: bool = False,
        is_broken: bool = False,
    ) -> Path:
        """Pack a film for the first `count` escrows; `is_forged`: its shares are none.

        With `is_broken` they are shares, and of another content key than the header's.
        """
        credential = load_vault(self.shop.folder / "sealcast.vault")
        assert credential.certificates is not None
        terms: dict[str, Any] = {"price_class": "film", "price_micro": PRICE, "currency": "EUR"}
        keys: list[EscrowKeyRow] = []
        for house in self.houses[:count]:
            if keys:
                terms |= {
                    "price_class": "share",
                    "upon": LeadKey(escrow=self.houses[0].name, key=keys[0].key),
                }
            keys += self.as_seller(house, operations.ESCROW_KEY_ADD, EscrowKeyList, **terms).keys
        seller = Seller(
            credential.id,
            credential.operator,
            credential.certificates,
            credential.signing,
            credential.ca_pem,
        )
        offered = Terms(
            title=f"The film {name}",
            name=f"{name}.mp4",
            media_type="video/mp4",
            escrows=tuple(PackageEscrow(key=key.document, certificate=key.certificate) for key in keys),
            threshold=threshold,
            is_licensed=is_licensed,
        )
        source, target = self.shop.folder / f"{name}.mp4", self.shop.folder / f"{name}.sealpack"
        source.write_bytes(CONTENT)
        made = draft(offered, len(CONTENT), seller, SystemRandom(), SystemClock().wall_ns() // 10**6)
        if is_forged:
            parts = [replace(each, commitment=bytes(32)) for each in made.header.parts]
            token = sign_header(replace(made.header, parts=parts), seller.signing)
            made = Draft(read_header(token, seller.ca_pem), made.content_key, seller)
        if is_broken:
            token = sign_header(replace(made.header, key_commitment=bytes(32)), seller.signing)
            made = Draft(read_header(token, seller.ca_pem), made.content_key, seller)
        with NewFile(target) as file:
            write_package(made, source, file)
            file.keep()
        sealed = seal_content_key(made.content_key, made.header.id, credential.kek.public(), credential.id)
        write_private(target.with_suffix(".sealkey"), sealed.encode() + b"\n")
        return target


@contextlib.contextmanager
def open_market(operator: Terminal, folder: Path, escrows: int = 2) -> Iterator[Market]:
    """Open a market beside an operator's key server, that runs; its buyer has nothing paid in."""
    shop, viewer = _enrolled(operator, folder, SELLER, "seller"), _enrolled(operator, folder, BUYER, "device")
    typed(operator, "device", "identify", BUYER, "--evidence", "contract 2041")
    typed(viewer, "device", "renew")
    houses = [_house(operator, folder, f"escrow-{number}") for number in range(1, escrows + 1)]
    with contextlib.ExitStack() as running:
        for house in houses:
            house.start()
            running.callback(house.stop)
        agent = Agent(viewer.folder, viewer.folder / "sealcast.vault")
        running.callback(agent.stop)
        viewer.environment["SEALCAST_AGENT"] = str(agent.path)
        market = Market(operator, shop, viewer, houses, agent)
        for house in houses:
            typed(viewer, "order", "list", "--at", house.url)
            market.as_seller(house, operations.BALANCE, BalanceList)
            market.as_operator(house, operations.SELLER_ADMIT, SellerList, seller=SELLER, fee_per_mille=100)
        yield market


def _enrolled(operator: Terminal, folder: Path, name: str, role: str) -> Terminal:
    terminal = Terminal(folder / name)
    terminal.folder.mkdir()
    line = typed(operator, "registry", "invite", "--id", name, "--role", role).split()[-1]
    typed(terminal, "enrol", line)
    if role == "seller":
        del terminal.environment["SEALCAST_CONFIG"]
    return terminal


def _house(operator: Terminal, folder: Path, name: str) -> House:
    port, keys = free_port(), json.loads(typed(operator, "config", "show", "--json"))
    state = Path(keys["settings"]["keyserver"]["state"] or "keyserver")
    url = f"https://127.0.0.1:{port}"
    create_escrow_state(
        folder / name,
        operator.folder / state,
        id=name,
        hosts=("127.0.0.1",),
        urls=(url,),
        random=SystemRandom(),
        wall_ns=SystemClock().wall_ns(),
    )
    return House(name, url, EscrowSettings(folder / name, "127.0.0.1", port))
