"""Owns a marketplace of real programs: key server, escrow, device agent, and the terminals of its people."""

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from acceptance.stations import WAIT_S
from cli.terminal import Terminal, free_port, new_operator
from device.softhsm import PIN, VARIABLE, make_token
from sealcast.device.files import write_private

ESCROW, SELLER, BUYER = "trust", "shop", "tv"
ESCROW_LINE, AGENT_LINE = "escrow listens on ", "device agent of "


class Marketplace:
    """An operator with an escrow, a seller with one price class, and a buyer whose person is known."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("operator", "shop", "viewer"):
            (folder / name).mkdir(parents=True)
        self.operator = new_operator(folder / "operator")
        self.shop = Terminal(folder / "shop")
        (folder / "shop" / "sealcast.toml").touch()
        self.viewer = Terminal(folder / "viewer", SEALCAST_AGENT=str(folder / "viewer" / "agent.sock"))
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.operator.good(
            "init", "escrow", "escrow", "--from", "keyserver", "--id", ESCROW, "--port", str(self.port)
        )
        self.starts = 0

    @property
    def state(self) -> Path:
        """The escrow's state."""
        return self.operator.folder / "escrow"

    @property
    def log(self) -> Path:
        """What the escrow wrote, in all its runs."""
        return self.folder / "escrow.log"

    @contextlib.contextmanager
    def escrow(self) -> Iterator[subprocess.Popen[str]]:
        """Run the escrow as long as the block."""
        self.starts += 1
        log = self.folder / f"escrow-{self.starts}.log"
        command = ("serve", "escrow", "--state", "escrow", "--listen", f"127.0.0.1:{self.port}")
        with self.operator.running(*command, stderr=log, SEALCAST_LOGGING_LEVEL="debug") as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith(ESCROW_LINE), log.read_text()
            yield process

    @contextlib.contextmanager
    def agent(self) -> Iterator[subprocess.Popen[str]]:
        """Run the buyer's device agent as long as the block."""
        log = self.folder / "agent.log"
        with self.viewer.running("device", "serve", stderr=log) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith(AGENT_LINE), log.read_text()
            yield process

    def let_in(self, *, is_token: bool = False) -> None:
        """Enrol seller and buyer, and identify the buyer, as the key server runs."""
        seller = self.operator.good("registry", "invite", "--role", "seller", "--id", SELLER).split()[-1]
        self.shop.good("enrol", seller)
        buyer = self.operator.good("registry", "invite", "--id", BUYER).split()[-1]
        how: tuple[str, ...] = ()
        if is_token:
            folder = self.viewer.folder / "softhsm"
            how = ("--pkcs11", make_token(folder, "TV"))
            write_private(self.viewer.folder / "pin", PIN.encode() + b"\n")
            self.viewer.environment[VARIABLE] = str(folder / "softhsm2.conf")
            self.viewer.environment["SEALCAST_PIN_FILE"] = str(self.viewer.folder / "pin")
        self.viewer.good("enrol", buyer, *how)
        self.operator.good("device", "identify", BUYER, "--evidence", "seen in the shop")
        self.viewer.good("device", "renew")

    def trade(self, price: str = "4.99") -> None:
        """Admit the seller, have a key made, and note that the buyer paid in 20 EUR."""
        at = ("--at", self.url)
        self.operator.good("escrow", "seller", "admit", SELLER, "--fee", "100", *at)
        made = ("--credential", "sealcast.vault", "--output", "film.escrow")
        self.shop.good("escrow", "key", "add", "film", price, "EUR", *made, *at)
        self.viewer.good("escrow", "join", *at)
        self.operator.good("escrow", "deposit", BUYER, "20", "EUR", "--id", "bank-1", *at)

    def pack(self, name: str, content: bytes, *options: str) -> Path:
        """Pack content under a name, and return the package."""
        source = self.shop.folder / f"{name}.bin"
        source.write_bytes(content)
        command = ("package", "pack", source.name, "--escrow", "film.escrow", "--title", name)
        self.shop.good(*command, "--credential", "sealcast.vault", *options)
        return source.with_suffix(".sealpack")

    def balances(self) -> dict[str, int]:
        """Return what buyer, seller and the escrow itself have, in micro-units."""
        found = {}
        for party in (("--party", BUYER), ("--party", SELLER), ()):
            told = self.operator.good(
                "escrow", "balance", *party, "--at", self.url, "--credential", "operator.vault", "--json"
            )
            found |= {each["account"]: each["balance_micro"] for each in json.loads(told)["balances"]}
        return found


@contextlib.contextmanager
def open_marketplace(folder: Path, *, is_token: bool = False) -> Iterator[Marketplace]:
    """Open a marketplace: all programs run, everybody is let in, money is there."""
    place = Marketplace(folder)
    with contextlib.ExitStack() as running:
        running.enter_context(place.operator.key_server())
        running.enter_context(place.escrow())
        place.let_in(is_token=is_token)
        running.enter_context(place.agent())
        place.trade()
        yield place


__all__ = ["BUYER", "ESCROW", "SELLER", "WAIT_S", "Marketplace", "open_marketplace"]
