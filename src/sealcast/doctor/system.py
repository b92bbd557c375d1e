"""Owns the looks at this machine: /proc, /sys, sockets of its own, and nft. Linux; elsewhere "not there"."""

import os
import shutil
import socket
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

from sealcast.core.errors import FormatError, SealcastError
from sealcast.doctor.group import Bridge
from sealcast.doctor.ruleset import Chain, read_ruleset
from sealcast.doctor.trust import FolderLook
from sealcast.transport import linux
from sealcast.transport.interfaces import Interface
from sealcast.transport.multicast import open_receiver

PROC_SYS = Path("/proc/sys")
SYS_NET = Path("/sys/class/net")
SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")
"""Where nft stands; an ordinary user's PATH may lack them."""

NFT_S_MAX = 5.0
TEXT_BYTES_MAX = 1 << 20
"""Files of /proc are some lines; more is not read."""


def read_setting(name: str) -> int | None:
    """Return a kernel setting by its dotted name; None if it is not there."""
    text = _read(PROC_SYS.joinpath(*name.split(".")))
    return int(text) if text is not None and text.lstrip("-").isdecimal() else None


def read_interface_setting(family: str, interface: str, name: str) -> int:
    """Return net.FAMILY.conf.INTERFACE.NAME, 0 if it is not there; an interface's name may hold dots."""
    text = _read(PROC_SYS / "net" / family / "conf" / interface / name)
    return int(text) if text is not None and text.lstrip("-").isdecimal() else 0


def probe_offload() -> tuple[bool, bool]:
    """Return whether UDP GSO and GRO are there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return linux.has_segmentation(sock), linux.has_coalescing(sock)


def try_join(group: str, interface: Interface) -> str | None:
    """Join and leave a group; return what went wrong in one line."""
    try:
        with open_receiver(group, 0, interface) as receiver:
            receiver.leave()
    except SealcastError as error:
        return str(error)
    return None


def list_bridges() -> tuple[Bridge, ...]:
    """Return the bridges of this network namespace."""
    found = []
    with suppress(OSError):
        for folder in sorted(SYS_NET.iterdir()):
            snoops = _read(folder / "bridge" / "multicast_snooping")
            if snoops is not None:
                found.append(
                    Bridge(folder.name, snoops == "1", _read(folder / "bridge" / "multicast_querier") == "1")
                )
    return tuple(found)


def read_igmp_version(interface: str) -> int | None:
    """Return the IGMP version that the kernel speaks on an interface, by the queriers that it heard."""
    for line in (_read(Path("/proc/net/igmp")) or "").splitlines():
        words = line.replace(":", " ").split()
        if len(words) == 4 and words[1] == interface and words[3][:1] == "V" and words[3][1:].isdecimal():
            return int(words[3][1:])
    return None


def read_firewall() -> tuple[list[Chain] | None, str]:
    """Return the nftables chains; None with the reason where they could not be read."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *SYSTEM_FOLDERS])
    program = shutil.which("nft", path=path)
    if program is None:
        return None, "nft is not installed"
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command, found in the system's folders
            [program, "--json", "list", "ruleset"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=NFT_S_MAX,
            check=False,
        )
        if done.returncode:
            return None, "only root may read its rules" if os.geteuid() else "nft cannot read the rules"
        return read_ruleset(done.stdout), ""
    except (OSError, subprocess.TimeoutExpired, FormatError) as error:
        return None, str(error)


def has_legacy_tables() -> bool:
    """Whether rules of the old iptables are loaded, which nft does not show."""
    return any(_read(Path("/proc/net") / name) for name in ("ip_tables_names", "ip6_tables_names"))


def look_at_folder(path: Path) -> FolderLook:
    """Return a folder's mode."""
    try:
        return FolderLook(str(path), stat.S_IMODE(path.stat().st_mode))
    except FileNotFoundError:
        return FolderLook(str(path))
    except OSError as error:
        return FolderLook(str(path), error=error.strerror)


def _read(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(TEXT_BYTES_MAX).strip()
    except OSError:
        return None
