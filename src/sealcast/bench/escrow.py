"""Owns the measurement of the escrow: blind openings a second, packing beside `cp`, unpacking by the agent.

| figure | what it takes in |
|---|---|
| blind_per_s | one thread on one core: c' checked, blinded, opened by the private key, checked, unblinded |
| pack_ratio_cp | the time of `cp` of a file by that of packing it, in turns, all of it in memory |
| unpack_mb_per_s | content through a real device agent into /dev/null: leaves and tags verified |
| cipher_mb_per_s | what one thread hashes and opens of such chunks in memory, and does nothing else |

Neither `cp` nor packing waits for the disk. Each is the best of its rounds; read the ratios.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from sealcast.agent.content import open_content
from sealcast.bench.escrow_shop import Key, Shop, new_key
from sealcast.bench.processes import one_core
from sealcast.client.agent import AgentClient
from sealcast.core.errors import LocalError, SealcastError
from sealcast.core.ports import Clock, Random
from sealcast.core.secret import Secret
from sealcast.messages.package import CHUNK_BYTES
from sealcast.sealpack.chunks import CONTENT_KEY_BYTES, ChunkCipher, digest
from sealcast.sealpack.layout import TAG_BYTES

MB = 1_000_000
BLIND_S = 2.0
BLIND_BATCH = 20
CIPHER_CHUNKS = 2_000
START_S_MAX = 20.0
STOP_S_MAX = 6.0
ROUNDS = 4
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class EscrowFigures:
    """What `bench escrow` shows; sizes in MB of 1,000,000 bytes."""

    key_bits: int
    content_mb: float
    blind_per_s: float
    cp_mb_per_s: float
    pack_mb_per_s: float
    pack_ratio_cp: float
    unpack_mb_per_s: float
    cipher_mb_per_s: float


def measure_escrow(
    clock: Clock, random: Random, *, content_mb: int, key_bits: int, folder: Path | None, tell: Tell
) -> EscrowFigures:
    """Measure all of it with one file of `content_mb`, made in `folder`; three times that is written.

    Raises LocalError if a program does not start, or content does not come out as it went in.
    """
    tell(f"a key of {key_bits} bits is made")
    key = new_key(key_bits)
    tell("blind openings")
    blind_per_s = _blind_per_s(key, random)
    with tempfile.TemporaryDirectory(prefix="sealcast-bench-", dir=folder) as made:
        place = Path(made)
        source = place / "content.bin"
        _fill(source, content_mb * MB, random)
        shop = Shop(place, clock, random, key)
        package = place / "content.sealpack"
        cp_s, pack_s = _packed(shop, source, package, tell)
        tell("unpacking by the device agent")
        with _agent(shop.vault, place) as socket:
            with AgentClient(socket) as client:
                shop.buy(client, package)
            unpack_s = min(_unpacked(socket, package, source) for _ in range(ROUNDS))
    return EscrowFigures(
        key_bits=key_bits,
        content_mb=content_mb,
        blind_per_s=blind_per_s,
        cp_mb_per_s=content_mb / cp_s,
        pack_mb_per_s=content_mb / pack_s,
        pack_ratio_cp=cp_s / pack_s,
        unpack_mb_per_s=content_mb / unpack_s,
        cipher_mb_per_s=_cipher_mb_per_s(random),
    )


def _blind_per_s(key: Key, random: Random) -> float:
    """Return how many openings of distinct numbers one core does in a second: the best of its batches."""
    best, until = float("inf"), perf_counter() + BLIND_S
    with one_core():
        while perf_counter() < until:
            asked = [key.public.pack(2 + random.below(key.modulus - 3)) for _ in range(BLIND_BATCH)]
            began = perf_counter()
            for each in asked:
                key.open(each, random)
            best = min(best, perf_counter() - began)
    return BLIND_BATCH / best


def _packed(shop: Shop, source: Path, package: Path, tell: Tell) -> tuple[float, float]:
    """Return the seconds of `cp` and of packing, in turns; the last package stays."""
    copied, packed = [], []
    for number in range(1, ROUNDS + 1):
        tell(f"cp and packing, {number} of {ROUNDS}")
        copy = package.with_suffix(".copy")
        began = perf_counter()
        subprocess.run(["cp", source, copy], check=True)  # noqa: S603, S607 - a fixed program, from PATH
        copied.append(perf_counter() - began)
        copy.unlink()
        package.unlink(missing_ok=True)
        began = perf_counter()
        shop.pack(source, package)
        packed.append(perf_counter() - began)
    return min(copied), min(packed)


def _unpacked(socket: Path, package: Path, source: Path) -> float:
    """Return the seconds in which the agent gives all content to /dev/null; its end is looked at before."""
    size = source.stat().st_size
    with open_content(socket, str(package)) as content:
        _check_end(content.write, source, size)
        with Path(os.devnull).open("wb") as sink:
            began = perf_counter()
            count = content.write(sink.fileno(), 0, size)
            taken = perf_counter() - began
    if count != size:
        raise LocalError(f"{size} bytes were packed, and {count} came out")
    return taken


def _check_end(write: Callable[[int, int, int], int], source: Path, size: int) -> None:
    """Raise LocalError unless the content's last bytes come out as they went in."""
    tail = min(size, CHUNK_BYTES)
    with tempfile.TemporaryFile() as found:
        write(found.fileno(), size - tail, tail)
        found.seek(0)
        with source.open("rb") as wanted:
            wanted.seek(size - tail)
            if found.read() != wanted.read():
                raise LocalError("the content came out as something else than what was packed")


def _cipher_mb_per_s(random: Random) -> float:
    """Return what one thread hashes and opens, a chunk that is in the core's cache, over and over."""
    cipher = ChunkCipher(Secret(random.bytes(CONTENT_KEY_BYTES)), random.bytes(16))
    sealed, plain = bytearray(CHUNK_BYTES + TAG_BYTES), bytearray(CHUNK_BYTES)
    cipher.seal(0, random.bytes(CHUNK_BYTES), sealed, is_last=False)
    best = float("inf")
    for _ in range(ROUNDS):
        began = perf_counter()
        for _ in range(CIPHER_CHUNKS // ROUNDS):
            digest(sealed)
            cipher.open(0, sealed, plain, is_last=False)
        best = min(best, perf_counter() - began)
    return CIPHER_CHUNKS // ROUNDS * CHUNK_BYTES / MB / best


def _fill(path: Path, size: int, random: Random) -> None:
    """Write content that no file system makes smaller."""
    block = random.bytes(MB)
    with path.open("wb") as file:
        for _ in range(size // MB):
            file.write(block)


@contextmanager
def _agent(vault: Path, folder: Path) -> Iterator[Path]:
    """Run a device agent of its own and give its socket."""
    socket, state = folder / "agent.sock", folder / "agent"
    command = [sys.executable, "-m", "sealcast.cli", "device", "serve"]
    options = ["--credential", str(vault), "--agent", str(socket), "--state", str(state)]
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("SEALCAST_")}
    with (folder / "agent.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [*command, *options], stdout=log, stderr=log, env=surroundings, cwd=folder
        )
    try:
        until = perf_counter() + START_S_MAX
        while not _answers(socket):
            if process.poll() is not None or perf_counter() > until:
                said = (folder / "agent.log").read_text(errors="replace")[-2_000:]
                raise LocalError(f"the device agent did not start: {said}")
        yield socket
    finally:
        process.terminate()
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(socket: Path) -> bool:
    try:
        AgentClient(socket).close()
    except SealcastError:
        return False
    return True
