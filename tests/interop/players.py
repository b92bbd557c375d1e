"""Owns how tests run the command lines of docs/players.md, and how they see what a player has shown.

The lines run in a shell as they stand, with only addresses and ports changed. Everything else comes from
outside, as for a user: the programs from PATH, the rest from environment and configuration files. No player
opens a window: ffplay's and VLC's pictures become files, GStreamer's log says what its outputs rendered.
"""

import contextlib
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import av
import psutil

PAGE = Path(__file__).resolve().parents[2] / "docs" / "players.md"

PLAYERS = {"ffplay", "cvlc", "gst-launch-1.0", "ffmpeg"}

PROCESS_NAMES = {"ffplay", "vlc", "gst-launch-1.0", "ffmpeg"}
"""How they are called once they run."""

VLC_PICTURE_EACH = 5
"""VLC writes one picture in so many: all of them would cost more than to decode them."""

NOBODY = 65534
"""VLC refuses to run as root."""

END_S_MAX = 15


def sections() -> dict[str, list[str]]:
    """Return the command lines of the page under their headings."""
    found: dict[str, list[str]] = {}
    for part in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"^```sh\n(.*?)^```", part, flags=re.MULTILINE | re.DOTALL)
        if blocks:
            found[part.partition("\n")[0]] = "".join(blocks).splitlines()
    return found


def is_receiver(line: str) -> bool:
    """Tell a line that receives, alone or with a player behind it."""
    return line.startswith("sealcast receive ")


def player_of(line: str) -> str | None:
    """Return the player that a line starts, if it starts one."""
    words = line.rpartition("| ")[2].split()
    return words[0] if words[0] in PLAYERS else None


class LivingRoom:
    """A folder where command lines run as one user's would, each in a terminal of its own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        folder.chmod(0o777)
        self._programs = folder / "bin"
        self._write_programs()
        self._write_vlc_settings()
        self._environment = {
            **environment,
            "PATH": f"{self._programs}{os.pathsep}{environment['PATH']}",
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "SDL_VIDEODRIVER": "dummy",
            "SDL_AUDIODRIVER": "dummy",
            "SDL_VIDEO_DUMMY_SAVE_FRAMES": "1",
            "GST_PLUGIN_FEATURE_RANK": "fakevideosink:MAX,fakeaudiosink:MAX",
            "GST_DEBUG": "basesink:5",
            "GST_DEBUG_NO_COLOR": "1",
            "GST_DEBUG_FILE": str(folder / "gst.log"),
        }
        self._terminals: list[subprocess.Popen[bytes]] = []
        self._seen: set[bytes] = set()

    def start(self, line: str) -> None:
        """Run a line in a shell in the background; what it prints goes to files."""
        number = len(self._terminals)
        with (
            (self.folder / f"{number}.out").open("wb") as out,
            (self.folder / f"{number}.err").open("wb") as err,
        ):
            process = subprocess.Popen(
                ["/bin/sh", "-c", line],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self._terminals.append(process)

    def pictures(self, player: str) -> int:
        """Return how many pictures the player has shown so far; those that repeat one count once."""
        match player:
            case "ffplay":
                return self._take_files("SDL_window*.bmp")
            case "cvlc":
                return self._take_files("scene*.png") * VLC_PICTURE_EACH
            case "gst-launch-1.0":
                return self._rendered()
            case _:
                return self._recorded()

    def printed(self) -> str:
        """Return what all lines printed so far."""
        files = sorted([*self.folder.glob("*.out"), *self.folder.glob("*.err")])
        return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)

    def close_players(self) -> None:
        """Close the players' windows, so to say."""
        self._signal(signal.SIGTERM, players=True)

    def stop_receivers(self) -> None:
        """Type Ctrl-C where a receiver runs."""
        self._signal(signal.SIGINT, players=False)

    def wait(self) -> None:
        """Wait for the end of all lines."""
        for terminal in self._terminals:
            terminal.wait(END_S_MAX)

    def leave(self) -> None:
        """End whatever still runs, each line with the programs that it started."""
        for terminal in self._terminals:
            if terminal.poll() is None:
                os.killpg(terminal.pid, signal.SIGKILL)
                terminal.wait()

    def _signal(self, number: signal.Signals, *, players: bool) -> None:
        """Signal the players, or the receivers; the shells around them end with them."""
        for terminal in self._terminals:
            for process in _programs_of(terminal):
                with contextlib.suppress(psutil.NoSuchProcess):
                    name = process.name()
                    if name != "sh" and (name in PROCESS_NAMES) is players:
                        process.send_signal(number)

    def _write_programs(self) -> None:
        """Put `sealcast` of this tree on the PATH, and for root a VLC that runs as somebody else."""
        programs = {"sealcast": [sys.executable, "-m", "sealcast.cli"]}
        if os.geteuid() == 0:
            become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
            programs["cvlc"] = [*become, shutil.which("cvlc") or "cvlc"]
        self._programs.mkdir()
        for name, command in programs.items():
            path = self._programs / name
            path.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
            path.chmod(0o755)

    def _write_vlc_settings(self) -> None:
        """Let VLC show nothing, and keep one picture in some as a file."""
        folder = self.folder / "config" / "vlc"
        folder.mkdir(parents=True)
        (folder / "vlcrc").write_text(
            "[core]\nvout=vdummy\naout=adummy\nvideo-filter=scene\n"
            f"[scene]\nscene-path={self.folder}\nscene-ratio={VLC_PICTURE_EACH}\nscene-format=png\n"
        )

    def _take_files(self, pattern: str) -> int:
        """Count pictures that differ, and remove their files; the last may not be complete yet."""
        for path in sorted(self.folder.glob(pattern))[:-1]:
            self._seen.add(hashlib.sha256(path.read_bytes()).digest())
            path.unlink()
        return len(self._seen)

    def _rendered(self) -> int:
        """Return what the slower of two outputs, picture and sound, has rendered: each is one thread."""
        log = self.folder / "gst.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        counts = Counter(line.split()[2] for line in lines if "> rendering object" in line)
        return min(counts.values()) if len(counts) == 2 else 0

    def _recorded(self) -> int:
        """Return how many pictures of a recording decode; before its end it cannot be opened."""
        try:
            with av.open(str(next(self.folder.glob("*.mp4"), "none"))) as recording:
                return sum(1 for _ in recording.decode(video=0))
        except av.FFmpegError:
            return 0


def _programs_of(terminal: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return the processes of a terminal that have not ended, its shell among them."""
    try:
        shell = psutil.Process(terminal.pid)
        return [shell, *shell.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
