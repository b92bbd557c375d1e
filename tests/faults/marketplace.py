"""Owns a marketplace of real programs: key server, escrow, device agent, and the terminals of its people."""

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Self

from cli.terminal import READY_LINE, Terminal, free_port
from device.softhsm import PIN, VARIABLE, make_token
from faults.nursery import Child, Forks, Nursery
from sealcast.device.files import write_private

ESCROW, SELLER, BUYER = "trust", "shop", "tv"
ESCROW_LINE, AGENT_LINE = "escrow listens on ", "device agent of "
VAULT = ("--credential", "sealcast.vault")


class Marketplace:
    """An operator with an escrow, a seller with one price class, and a buyer whose person is known.

    Calling order: `let_in`, `serve_agent`, `trade`, then buy and sell; used in a `with`.
    """

    def __init__(self, folder: Path, forks: Forks) -> None:
        self.folder, self._stack = folder, contextlib.ExitStack()
        self._forks = forks
        self.operator = self._person("operator")
        self.shop, self.viewer = self._person("shop"), self.person("viewer")
        self.agent: Child | None = None
        port, self._port = free_port(), free_port()
        self.url = f"https://127.0.0.1:{self._port}"
        self.operator.good("init", "--dir", ".", "--operator", "Test TV", "--listen", f"127.0.0.1:{port}")
        self.operator.good(
            "init", "escrow", "escrow", "--from", "keyserver", "--id", ESCROW, "--port", str(self._port)
        )
        self.operator.start("serve", "keyserver").wait_for_line(READY_LINE)
        self.escrow = self.serve_escrow()
        self.escrow.wait_for_line(ESCROW_LINE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def person(self, name: str) -> Nursery:
        """Return the terminal of somebody with a device, in a folder of its own."""
        socket = self.folder / name / "agent.sock"
        return self._person(name, SEALCAST_AGENT=str(socket))

    def place(self, name: str) -> Path:
        """Return somebody's folder."""
        return self.folder / name

    def serve_escrow(self) -> Child:
        """Start the escrow and return it, maybe not yet ready."""
        self.escrow = self.operator.start(
            *("serve", "escrow", "--state", "escrow", "--listen", f"127.0.0.1:{self._port}"),
            SEALCAST_LOGGING_LEVEL="debug",
        )
        return self.escrow

    def serve_agent(self) -> Child:
        """Start the buyer's device agent and return it, ready."""
        self.agent = self.viewer.start("device", "serve")
        self.agent.wait_for_line(AGENT_LINE)
        return self.agent

    def let_in(self, *, is_token: bool = False) -> None:
        """Enrol seller and buyer, and identify the buyer."""
        self.shop.good("enrol", self.invitation(SELLER, "--role", "seller"))
        how: tuple[str, ...] = ()
        if is_token:
            folder = self.place("viewer") / "softhsm"
            how = ("--pkcs11", make_token(folder, "TV"))
            write_private(self.place("viewer") / "pin", PIN.encode() + b"\n")
            environment = self.viewer.terminal.environment
            environment[VARIABLE] = str(folder / "softhsm2.conf")
            environment["SEALCAST_PIN_FILE"] = str(self.place("viewer") / "pin")
        self.viewer.good("enrol", self.invitation(BUYER), *how)
        self.operator.good("device", "identify", BUYER, "--evidence", "seen in the shop")
        self.viewer.good("device", "renew")

    def invitation(self, name: str, *options: str) -> str:
        """Return the line that lets somebody in."""
        return self.operator.good("registry", "invite", "--id", name, *options).split()[-1]

    def trade(self, balance: str = "20") -> None:
        """Admit the seller, have a key made, and note what the buyer paid in."""
        at = ("--at", self.url)
        self.operator.good("escrow", "seller", "admit", SELLER, "--fee", "100", *at)
        self.shop.good("escrow", "key", "add", "film", "4.99", "EUR", "--output", "film.escrow", *VAULT, *at)
        self.viewer.good("escrow", "join", *at)
        self.operator.good("escrow", "deposit", BUYER, balance, "EUR", "--id", "bank-1", *at)

    def pack(self, name: str, content: bytes, *options: str) -> Path:
        """Pack content under a name, and return the package."""
        source = self.place("shop") / f"{name}.bin"
        source.write_bytes(content)
        self.shop.good(
            "package", "pack", source.name, "--escrow", "film.escrow", "--title", name, *VAULT, *options
        )
        return source.with_suffix(".sealpack")

    def balances(self) -> dict[str, int]:
        """Return what buyer and seller have, and the escrow itself, in micro-units, as the escrow says."""
        found = {}
        at = ("--at", self.url, "--credential", "operator.vault", "--json")
        for party in (("--party", BUYER), ("--party", SELLER), ()):
            told = json.loads(self.operator.good("escrow", "balance", *party, *at))
            found |= {each["account"]: each["balance_micro"] for each in told["balances"]}
        return found

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """Return what the escrow's database has."""
        path = self.place("operator") / "escrow" / "escrow.sqlite"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchall()

    def _person(self, name: str, **environment: str) -> Nursery:
        folder = self.place(name)
        folder.mkdir(parents=True)
        if name == "shop":
            (folder / "sealcast.toml").touch()
        nursery = Nursery(Terminal(folder, **environment), self._forks)
        return self._stack.enter_context(nursery)
