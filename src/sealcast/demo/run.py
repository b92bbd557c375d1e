"""Owns the demo: an operator, its programs and an outsider on one machine, from nothing to a verdict.

Every program is started with the command that a user would type, in a temporary folder, on loopback.
"""

import asyncio
import contextlib
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sealcast.core.errors import LocalError, UsageError
from sealcast.core.ports import Random
from sealcast.demo.run_bills import BY_KEY, CURRENCY, TAX_PER_CENT, Subscribers, prices
from sealcast.demo.run_clip import prepare_clip
from sealcast.demo.run_picture import Row, receiver_row, sender_row
from sealcast.demo.run_program import Program
from sealcast.demo.run_verdict import Evidence, ReceiverSummary, SenderSummary, Verdict, judge, read_summary
from sealcast.messages.invoicing import Invoice

LIFETIME_S = 5
FIRST_SEQ = 65_400
"""The sequence number wraps after 136 packets, before the late joiner comes."""

LATE_SHARE = 0.4
"""The late joiner comes after this share of the time on the air."""

CHANNEL = "demo"
SENDING = ("--role", "sender", "--channel", CHANNEL)
SUBSCRIBERS = ("TV-1", "TV-2")
LATE_JOINER = "TV-late"
SUBSCRIBED = (*SUBSCRIBERS, LATE_JOINER)
PAYS_BY_KEY = SUBSCRIBERS[1]
OUTSIDER = "TV-outsider"

START_S_MAX = 30.0
"""A program that is not there by then, on a machine however slow, will not come."""

OVERTIME_S = 60.0
"""How much longer than its clip a sender may take before the demo gives up."""

FAREWELL_S = 20.0
"""Receivers end by themselves soon after the sender's BYE."""

PICTURE_S = 0.5
SETTLE_S = 1
MARGIN_S = 0.5
"""What was on the air is settled `SETTLE_S` after it was over; the word of that is on its way for less."""

IDLE_EXIT_S = "8"
"""The outsider cannot read the BYE: it ends when the stream has been silent for this long."""


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """What the demo is told: `seconds` on the air, a file to send in place of the test card, a folder.

    In `bills` the bills stay as documents; without it they are gone with all else that the demo wrote.
    """

    seconds: float
    source: Path | None = None
    bills: Path | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """Where the demo shows itself: `say` takes a line, `picture` the rows twice a second."""

    say: Callable[[str], None]
    picture: Callable[[list[Row]], None]


async def run_demo(settings: DemoSettings, shown: Shown, random: Random) -> tuple[Verdict, list[str]]:
    """Run it all and return the verdict with what did not hold; takes `seconds` and some ten more.

    Raises LocalError where a program fails, UsageError where the input does not fit. Whatever was started
    or written is gone afterwards, also when the task is cancelled.
    """
    if settings.source is not None and not settings.source.is_file():
        raise UsageError(f"there is no file {settings.source}")
    if settings.bills is not None:
        _make_folder(settings.bills)
    with tempfile.TemporaryDirectory(prefix="sealcast-demo-") as name:
        stage = _Stage(Path(name), settings, shown, random)
        try:
            return await stage.play()
        finally:
            await stage.clear()


class _Stage:
    """The folder, the programs that run in it, and the order in which they come and go."""

    def __init__(self, folder: Path, settings: DemoSettings, shown: Shown, random: Random) -> None:
        self._folder = folder
        self._settings = settings
        self._shown = shown
        self._programs: list[Program] = []
        self._bills = folder / "bills"
        self._listen = f"127.0.0.1:{_free_port(socket.SOCK_STREAM)}"
        group = ".".join(str(1 + random.below(254)) for _ in range(2))
        self._group = f"239.255.{group}:{_free_port(socket.SOCK_DGRAM) & ~1}"
        limit = ["--seconds", f"{settings.seconds:g}"] if settings.source else []
        self._sender = self._program(
            "studio", ["send", CHANNEL, "--input", "input.ts", *limit, "--interface", "lo", "--json"]
        )
        self._subscribers = [self._receiver(name, CHANNEL) for name in SUBSCRIBERS]
        # It knows the stream's address alone: what else it needs it learns after its join, on the clock.
        self._late = self._receiver(LATE_JOINER, f"rtp://{self._group}")
        self._outsider = self._receiver(
            OUTSIDER, f"rtp://{self._group}", "--wait", "--idle-exit", IDLE_EXIT_S
        )

    async def play(self) -> tuple[Verdict, list[str]]:
        """Go from nothing to the verdict."""
        seconds = self._settings.seconds
        self._shown.say("# the clip is made in the meantime")
        preparing = [
            asyncio.create_task(
                asyncio.to_thread(prepare_clip, self._settings.source, seconds, self._folder / "input.ts")
            ),
            asyncio.create_task(self._set_up()),
        ]
        try:
            await asyncio.gather(*preparing)
        finally:
            for task in preparing:
                task.cancel()
            await asyncio.gather(*preparing, return_exceptions=True)
        async with self._painting():
            await self._go_on_air(seconds)
        await self._bill()
        return judge(self._evidence(changes_min=max(0, int(seconds / LIFETIME_S) - 1)))

    async def clear(self) -> None:
        """End every program; also when cut short, none is left."""
        try:
            await asyncio.gather(*(program.stop() for program in reversed(self._programs)))
        finally:
            for program in self._programs:
                program.kill()

    async def _set_up(self) -> None:
        """Make operator, key server, channel, parties and subscriptions."""
        self._shown.say(f"$ cd {self._folder}")
        self._shown.say("$ export SEALCAST_CONFIG=$PWD/sealcast.toml")
        await self._do("init", "--dir", ".", "--operator", "Demo", "--listen", self._listen)
        self._add_to_config()
        server = self._program("key server", ["serve", "keyserver"])
        await self._start(server)
        await server.wait_for(server.ready, START_S_MAX)
        await self._do("channel", "add", CHANNEL, "--group", self._group, "--lifetime", f"{LIFETIME_S}s")
        devices = (*SUBSCRIBERS, LATE_JOINER, OUTSIDER)
        await asyncio.gather(
            self._do("registry", "add", "studio", *SENDING, "--output", "studio.vault"),
            *(self._do("registry", "add", name, "--output", f"{name}.vault") for name in devices),
            self._set_prices(),
        )
        await asyncio.gather(*(self._subscribe(name) for name in SUBSCRIBED))

    async def _subscribe(self, name: str) -> None:
        """Put a device on the list; one of them pays for each key, since before that."""
        if name == PAYS_BY_KEY:
            await self._do("billing", "tariff", "assign", CHANNEL, BY_KEY, "--device", name)
        await self._do("subscriber", "add", CHANNEL, name)

    async def _set_prices(self) -> None:
        """Say what the channel costs; its subscribers pay by the tariff that is added last."""
        for tariff, lines in prices().items():
            costs = [part for line in lines for part in ("--price", line)]
            money = ("--currency", CURRENCY, "--tax", str(TAX_PER_CENT))
            await self._do("billing", "tariff", "add", tariff, *money, *costs, "--channel", CHANNEL)

    async def _bill(self) -> None:
        """Have all subscribers leave for good; each gets its last bill."""
        await asyncio.gather(
            *(self._do("withdraw", CHANNEL, "--yes", "--credential", f"{name}.vault") for name in SUBSCRIBED)
        )
        await asyncio.sleep(SETTLE_S + MARGIN_S)
        await self._do("billing", "invoice", "close")
        forms = [part for form in self._forms() for part in ("--form", form)]
        await self._do("billing", "invoice", "export", "--output", self._bills.name, *forms)
        if (kept := self._settings.bills) is not None:
            await asyncio.to_thread(shutil.copytree, self._bills, kept, dirs_exist_ok=True)
            self._shown.say(f"# the bills are in {kept}")

    def _forms(self) -> tuple[str, ...]:
        """Return in which forms the bills are written: as PDF too, where there is what makes them."""
        return ("json", "html", "pdf") if find_spec("typst") is not None else ("json", "html")

    def _invoices(self) -> list[Invoice]:
        files = sorted(self._bills.glob("invoice-*.json"))
        return [read_summary(file.read_text(encoding="utf-8"), Invoice) for file in files]

    def _add_to_config(self) -> None:
        """Name what the sender and the receivers of this one machine use."""
        lines = (
            "[sender]",
            'credential = "studio.vault"',
            'state = "studio.state"',
            "[receiver]",
            'interface = "lo"',
            "[billing]",
            f"settle_s = {SETTLE_S}",
            'cycle = "closing"',
        )
        with (self._folder / "sealcast.toml").open("a") as file:
            file.write("\n" + "\n".join(lines) + "\n")
        self._shown.say("$ cat >> sealcast.toml")
        for line in lines:
            self._shown.say(f"    {line}")

    async def _go_on_air(self, seconds: float) -> None:
        """Receivers first, then the sender, the late joiner in between; until all have ended."""
        early = [*self._subscribers, self._outsider]
        for program in early:
            await self._start(program)
        for program in early:
            await program.wait_for(program.joined, START_S_MAX)
        await self._start(self._sender)
        await self._until_on_air()
        sent = asyncio.create_task(self._sender.wait(seconds + OVERTIME_S))
        try:
            await asyncio.wait((sent,), timeout=seconds * LATE_SHARE)
            await self._start(self._late)
            await sent
        finally:
            sent.cancel()
        for program in (*self._subscribers, self._late, self._outsider):
            await program.wait(FAREWELL_S)

    async def _until_on_air(self) -> None:
        """Wait for the first packet; raises LocalError if there is none."""
        for _ in range(int(START_S_MAX / PICTURE_S)):
            if self._sender.has_ended:
                await self._sender.wait(PICTURE_S)
            if self._sender.news is not None and self._sender.news.packets:
                return
            await asyncio.sleep(PICTURE_S)
        raise LocalError(f"the sender is not on the air: {self._sender.complaint or 'it says nothing'}")

    def _evidence(self, changes_min: int) -> Evidence:
        return Evidence(
            sender=read_summary(self._sender.output, SenderSummary),
            subscribers=[read_summary(each.output, ReceiverSummary) for each in self._subscribers],
            late_joiner=read_summary(self._late.output, ReceiverSummary),
            outsider=read_summary(self._outsider.output, ReceiverSummary),
            source=self._folder / "input.ts",
            outputs=[self._folder / f"{name}.ts" for name in SUBSCRIBERS],
            changes_min=changes_min,
            invoices=self._invoices(),
            billed=Subscribers(SUBSCRIBERS[0], PAYS_BY_KEY, LATE_JOINER),
        )

    # Programs

    def _program(self, name: str, arguments: list[str]) -> Program:
        environment = {
            "SEALCAST_CONFIG": str(self._folder / "sealcast.toml"),
            "SEALCAST_LOGGING_FORMAT": "json",
        }
        if arguments[0] == "send":
            environment["SEALCAST_DEMO_FIRST_SEQ"] = str(FIRST_SEQ)
        if arguments[0] in {"send", "receive"}:
            environment["SEALCAST_LOGGING_LEVEL"] = "debug"
        return Program(name, arguments, self._folder, environment)

    def _receiver(self, name: str, target: str, *more: str) -> Program:
        files = ("--output", f"{name}.ts", "--credential", f"{name}.vault")
        return self._program(name, ["receive", target, *files, *more, "--json"])

    async def _start(self, program: Program) -> None:
        self._shown.say(f"$ {program.command}")
        self._programs.append(program)
        await program.start()

    async def _do(self, *arguments: str) -> None:
        """Run a command to its end."""
        program = self._program(arguments[0], list(arguments))
        await self._start(program)
        await program.wait(START_S_MAX)

    # The picture

    @contextlib.asynccontextmanager
    async def _painting(self) -> AsyncIterator[None]:
        """Show the picture twice a second for as long as the block runs."""
        task = asyncio.create_task(self._paint())
        try:
            yield
            self._shown.picture(self._rows())
        finally:
            task.cancel()

    async def _paint(self) -> None:
        while True:
            self._shown.picture(self._rows())
            await asyncio.sleep(PICTURE_S)

    def _rows(self) -> list[Row]:
        sender = self._sender
        rows = [sender_row(sender.name, sender.news, LIFETIME_S * 1000, ended=sender.has_ended)]
        for each in (*self._subscribers, self._late, self._outsider):
            expected = each is self._late and each not in self._programs
            rows.append(receiver_row(each.name, each.news, expected=expected, ended=each.has_ended))
        return rows


def _make_folder(path: Path) -> None:
    """Make the folder for the bills now: nobody wants to hear after the demo that it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {path}: {error.strerror}") from error


def _free_port(kind: socket.SocketKind) -> int:
    """Return a port that nobody uses on loopback at this moment; above 1 and below 65534 for its pair."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return min(int(probe.getsockname()[1]), 65_532)
