"""Owns desks: machines with disks of their own, where somebody types the commands of a page as they stand."""

import os
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from lab.hosts import Host, Program

PLACES = ("etc/sealcast", "var/lib/sealcast")
"""Where root's configuration and state stand; each machine of the test has its own."""

SYSTEM_S = 60.0


@dataclass(frozen=True)
class Desk:
    """A machine with its own disk: root's folders there are folders of the test."""

    host: Host
    folder: Path

    @property
    def mounts(self) -> dict[str, Path]:
        """Its folders, by the places where they are found."""
        return {f"/{place}": self.folder / place for place in PLACES}

    @property
    def environment(self) -> dict[str, str]:
        """What the environment says of who sits here."""
        return {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "SDL_VIDEODRIVER": "dummy",
            "SDL_AUDIODRIVER": "dummy",
            "SDL_VIDEO_DUMMY_SAVE_FRAMES": "1",
        }

    @property
    def _mounting(self) -> str:
        return " && ".join(f"mount --bind {self.folder / place} /{place}" for place in PLACES)

    def type(self, line: str, **environment: str) -> Program:
        """Type a line in a terminal of its own; its output goes to files."""
        typed = f"{self._mounting} && cd {self.folder} && exec sh -c {shlex.quote(line)}"
        return self.host.start("sh", "-c", typed, **self.environment, **environment)

    def within(self) -> list[str]:
        """Return a command that runs another here, for as long as that likes."""
        there = ["ip", "netns", "exec", self.host.namespace]
        return [*there, "sh", "-c", f'{self._mounting} && exec "$@"', "sh"]

    def do(self, line: str) -> str:
        """Type a line and return what it printed, once it ended well."""
        program = self.type(line)
        assert program.wait(SYSTEM_S) == 0, program.stderr()
        return program.stdout()


def desk(host: Host, folder: Path) -> Desk:
    """Set a machine up: an empty disk with `sealcast` installed."""
    for place in (*PLACES, "bin"):
        (folder / place).mkdir(parents=True)
    (folder / PLACES[1]).chmod(0o700)
    program = folder / "bin" / "sealcast"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m sealcast.cli "$@"\n')
    program.chmod(0o755)
    return Desk(host, folder)


def made_places() -> list[Path]:
    """Make the folders that desks mount theirs over, and return those that were not there."""
    made = [Path("/") / place for place in PLACES if not (Path("/") / place).exists()]
    for path in made:
        path.mkdir()
    return made


def fits(line: str, printed: str) -> bool:
    """Whether a printed line is that of a page, where words stand for each invitation's own characters."""
    shape = re.escape(line).replace("TOKEN", r"[\w-]{22}").replace("FINGERPRINT", r"[\w-]{43}")
    return re.fullmatch(shape, printed.strip()) is not None
