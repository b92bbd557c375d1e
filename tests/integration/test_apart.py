"""Servers apart: docs/operating-apart.md, carried out on machines of their own, and what they survive."""

import contextlib
import re
import shlex
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from integration.desks import SYSTEM_S, Desk, desk, fits, made_places
from integration.receptions import Reception, alive, read_record
from lab.hosts import LabError, wait_until
from lab.topology import Family, Lab, routed_lab
from lab.warm import Actor, Stage, warm

pytestmark = pytest.mark.network

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operating-apart.md"
STEP = re.compile(
    r"^(?P<machine>[\w-]+)# (?P<line>[^\n]*)$"
    r"|^`/etc/sealcast/sealcast.toml` on `(?P<owner>\w+)`.*?^```toml\n(?P<text>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
CONFIGURATION = "etc/sealcast/sealcast.toml"
FILM = "harbour.ts"
MANAGER_PORT = 8445
WALL = """
table inet wall {
  chain forwarded {
    type filter hook forward priority 1; policy drop;
    ip saddr { 10.77.1.2, 10.77.3.2, 10.77.4.2 } ip daddr 10.77.2.2 tcp dport { 8443, 8444 } accept
    ip saddr 10.77.2.2 ip daddr { 10.77.1.2, 10.77.3.2, 10.77.4.2 } tcp sport { 8443, 8444 } accept
    ip saddr 10.77.2.2 ip daddr 10.77.5.2 tcp dport 8445 accept
    ip saddr 10.77.5.2 ip daddr 10.77.2.2 tcp sport 8445 accept
    ip saddr 10.77.1.2 ip daddr 232.20.0.1 udp dport { 5004, 5005 } accept
  }
}
"""
"""What the page says has to pass a firewall, and nothing else."""

SERVICES = {"keys": "sealcast serve keyserver", "reception": "sealcast serve reception"}
STATE = "var/lib/sealcast"


@dataclass
class Site:
    """The machines of the page, and what runs there."""

    lab: Lab
    stage: Stage
    desks: dict[str, Desk]
    running: dict[str, Actor]
    invitation: str = ""

    def carry_out(self, machine: str, line: str) -> None:
        """Do what one line of the page says; what runs for long is left running."""
        folder = self.desks[machine].folder
        if line.startswith("scp"):
            *_, source, target = shlex.split(line)
            there, path = target.removeprefix("root@").split(":")
            to = next(each for each in self.desks.values() if each.host.ipv4 == there)
            shutil.copytree(folder / source, to.folder / path.lstrip("/") / source)
        elif line.startswith("rm -r"):
            shutil.rmtree(folder / line.rsplit(maxsplit=1)[-1])
        elif line.startswith(("sealcast serve", "sealcast send", "sealcast receive ")):
            self.start(machine, line)
        elif line.startswith("sealcast enrol"):
            assert fits(line, self.invitation), self.invitation
            self.do(machine, self.invitation)
        else:
            printed = self.do(machine, line)
            self.invitation = printed.strip() if " invite " in line else self.invitation

    def start(self, machine: str, line: str) -> None:
        """Type a line that runs for long; one that serves is waited for."""
        self.running[machine] = actor = self.type(machine, line)
        if "serve" in line:
            wait_until(lambda: "listens on" in actor.out or not actor.running(), line, SYSTEM_S)
            assert actor.running(), actor.err

    def type(self, machine: str, line: str) -> Actor:
        """Type a line."""
        desk, (program, *arguments) = self.desks[machine], shlex.split(line)
        assert program == "sealcast"
        environment = {"HOME": str(desk.folder)}
        return self.stage.start(desk.host, desk.folder, environment, *arguments, mounts=desk.mounts)

    def do(self, machine: str, line: str) -> str:
        """Type a line and return what it printed, once it ended well."""
        return self.type(machine, line).wait(SYSTEM_S)

    def restart(self, machine: str) -> None:
        """Start a server that was killed."""
        wait_until(lambda: not self.running[machine].running(), f"the end of {machine}", SYSTEM_S)
        self.start(machine, SERVICES[machine])

    def send_signal(self, machine: str, number: signal.Signals) -> None:
        """Send a signal to what runs on a machine."""
        self.running[machine].send_signal(number)

    def record(self) -> list[Reception]:
        """Return the record, from the reception manager's own database."""
        state = self.desks["reception"].folder / "var/lib/sealcast/reception"
        return read_record(next(state.glob("*.sqlite")))

    def of(self, device: str) -> list[Reception]:
        """Return the receptions of a device, live or over."""
        return [row for row in self.record() if row.device == device]

    def wait_for_live(self, *devices: str) -> None:
        """Return once these and no others receive, as the record has it."""
        wanted = {(device, "film") for device in devices}
        wait_until(lambda: alive(self.record()) == wanted, f"{devices} on record", SYSTEM_S)

    def wait_until_asked(self) -> None:
        """Return once something that the stopped manager has not read waits for it."""

        def waits() -> bool:
            listed = self.desks["reception"].host.run("ss", "-Htn", f"sport = :{MANAGER_PORT}")
            return any(int(line.split()[1]) > 0 for line in listed.splitlines())

        wait_until(waits, "a question to the reception manager", SYSTEM_S)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, film: Path) -> Iterator[Site]:
    """Return the site of the page, with everything on it carried out, and a second viewer enrolled."""
    folder = tmp_path_factory.mktemp("site")
    made = made_places()
    with contextlib.ExitStack() as stack:
        for path in made:
            stack.callback(path.rmdir)
        lab = stack.enter_context(routed_lab(Family.IPV4, "reception"))
        hosts = {"keys": lab.keys, "data": lab.sender, "reception": lab.more[0]}
        hosts |= {"tv-1": lab.leg_a, "tv-2": lab.leg_b}
        lab.router.run("nft", WALL)
        stage = stack.enter_context(warm(folder / "stage", "sealcast.server.run"))
        site = Site(lab, stage, {name: desk(host, folder / name) for name, host in hosts.items()}, {})
        (site.desks["data"].folder / FILM).hardlink_to(film)
        follow(site)
        yield site


def follow(site: Site) -> None:
    """Do what the page says, and have a second viewer enrolled as it says of the first."""
    enrolment: list[tuple[str, str]] = []
    for step in STEP.finditer(PAGE.read_text(encoding="utf-8")):
        machine, line, owner, text = step.group("machine", "line", "owner", "text")
        if owner:
            path = site.desks[owner].folder / CONFIGURATION
            path.write_text(text, encoding="utf-8")
            path.chmod(0o600)
            continue
        site.carry_out(machine, line)
        if "tv-1" in (machine, *line.split()) and "receive" not in line:
            enrolment.append((machine.replace("tv-1", "tv-2"), line.replace("tv-1", "tv-2")))
    for machine, line in enrolment:
        site.carry_out(machine, line)


def test_each_part_has_its_own(site: Site) -> None:
    """The page's commands bring a viewer its film; record, list and catalogue are where they belong."""
    site.wait_for_live("tv-1")
    assert "tv-1" in site.do("keys", "sealcast receptions")
    assert "Harbour at dawn" in site.do("data", "sealcast content list")
    reception, keys = (site.desks[name].folder / STATE / name for name in ("reception", "keys"))
    assert not (reception / "ca.key").exists()
    assert not (site.desks["keys"].folder / "reception").exists()
    assert not read_record(next(keys.with_name("keyserver").glob("*.sqlite")))
    for command in ("sealcast subscriber list film", "sealcast receptions"):
        with pytest.raises(LabError, match="operator"):
            site.do("data", command)


def test_servers_killed_in_the_middle_of_requests(site: Site) -> None:
    """Killed over a key request or a stop, either loses nothing, and each request is answered in the end."""
    watch = "sealcast receive film --output film.ts --wait"
    # The manager dies over a key request.
    site.send_signal("reception", signal.SIGSTOP)
    site.start("tv-2", watch)
    site.wait_until_asked()
    site.send_signal("reception", signal.SIGKILL)
    site.restart("reception")
    site.wait_for_live("tv-1", "tv-2")
    assert [row.reason for row in site.of("tv-2")] == [None]

    # The manager dies over a stop, which then is told to it later.
    site.send_signal("reception", signal.SIGSTOP)
    site.send_signal("tv-2", signal.SIGTERM)
    site.wait_until_asked()
    site.send_signal("reception", signal.SIGKILL)
    assert "stop not acknowledged" in site.running["tv-2"].wait(SYSTEM_S)
    site.restart("reception")
    site.wait_for_live("tv-1")
    assert [row.reason for row in site.of("tv-2")] == ["stopped"]

    # The key server dies while it waits for the manager, which permits what nobody waits for any more.
    film = site.desks["tv-2"].folder / "film.ts"
    film.unlink(missing_ok=True)
    site.send_signal("reception", signal.SIGSTOP)
    site.start("tv-2", watch)
    site.wait_until_asked()
    site.send_signal("keys", signal.SIGKILL)
    site.send_signal("reception", signal.SIGCONT)
    site.restart("keys")
    site.wait_for_live("tv-1", "tv-2")
    assert [row.reason for row in site.of("tv-2")] == ["stopped", None]
    shown = site.do("keys", "sealcast receptions")
    assert all(device in shown for device in ("tv-1", "tv-2"))

    # A reception is on record before the first packet that its keys open.
    wait_until(lambda: film.exists() and film.stat().st_size > 0, "packets on tv-2", SYSTEM_S)
    assert len(site.of("tv-1")) == 1
    for machine in ("tv-1", "tv-2"):
        site.send_signal(machine, signal.SIGTERM)
        summary = site.running[machine].wait(SYSTEM_S)
        opened, received = re.findall(r"(\d+) of (\d+) packets opened", summary)[0]
        assert opened == received != "0", summary
        assert "0 refused" in summary
        assert "acknowledged by https://10.77.5.2:8445" in summary
    site.wait_for_live()
