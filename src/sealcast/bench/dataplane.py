"""Owns the measurement of the packet path: microseconds per 1316-byte packet, all in one run on one core.

| figure | what it takes in |
|---|---|
| floor | bare `encrypt_into`, a fresh nonce each |
| seal | the sender's session, batches of 48 |
| seal_send | seal, and one system call a batch, to a group that nobody joined on loopback |
| seal_send_1 | the same, each packet by itself |
| open_floor | bare `decrypt_into` |
| open | the receiver's session, trains of 48 that are in memory |
| receive_open | receive and open, from a socket that is never empty |
| receive_open_live | one train of 2 ms at 150 Mbit/s a wake-up, the wake-up included |
| receive_open_1 | one datagram a wake-up, the wake-up included |
| receive_open_nogro | receive and open what the kernel does not gather |
| scramble | the sender's session on a scrambled channel, batches of 48; ratio to floor |
| descramble | the receiver's session on it, trains of 48 that are in memory; ratio to open_floor |

Time is the thread's processor time, as that of the peers is: what other programs take does not count. Each
figure is the best of several rounds, taken in turn, so that a machine that changes its speed changes all of
them; read the ratios.
"""

import contextlib
import select
import struct
from collections.abc import Callable
from dataclasses import dataclass
from time import thread_time_ns

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sealcast.bench.processes import one_core
from sealcast.bench.stage import BATCH, GROUP, PAYLOAD_BYTES, PORT, Stage
from sealcast.core.ports import NS_PER_S, Clock, Random
from sealcast.messages.scrambling import default_policy
from sealcast.transport.interfaces import choose_interface
from sealcast.transport.multicast import MulticastReceiver, MulticastSender, open_receiver, open_sender
from sealcast.wire import rtp, srtp

ROUND_BATCHES = 60
"""Batches in a round: 2,880 packets, 4 MB, which a socket's buffer holds."""

LIVE_PACKETS = 28
"""What 2 ms of 150 Mbit/s hold: the rate of an uncompressed-sound, lightly compressed studio stream."""

LIVE_TRAINS = 240
ROUNDS_MIN = 3
BITS = 8 * PAYLOAD_BYTES
ROUND_PACKETS = ROUND_BATCHES * BATCH


@dataclass(frozen=True, slots=True)
class DataplaneFigures:
    """Microseconds per packet; ratios to the bare cipher; Gbit/s of payload that one core carries."""

    payload_bytes: int
    rounds: int
    us: dict[str, float]
    ratio: dict[str, float]
    gbit_per_s: dict[str, float]


def measure_dataplane(clock: Clock, random: Random, seconds: float) -> DataplaneFigures:
    """Measure for about `seconds`, three rounds at least, on one core."""
    with one_core(), contextlib.ExitStack() as stack:
        cases = _cases(stack, random, clock)
        best = dict.fromkeys(cases, float("inf"))
        rounds, ends_ns = 0, clock.monotonic_ns() + int(seconds * NS_PER_S)
        while rounds < ROUNDS_MIN or clock.monotonic_ns() < ends_ns:
            for name, run in cases.items():
                best[name] = min(best[name], run() / 1e3)
            rounds += 1
    return DataplaneFigures(
        payload_bytes=PAYLOAD_BYTES,
        rounds=rounds,
        us={name: round(value, 3) for name, value in best.items()},
        ratio={name: round(best[name] / best[_floor_of(name)], 2) for name in best},
        gbit_per_s={name: round(BITS / best[name] / 1e3, 2) for name in best},
    )


def _floor_of(name: str) -> str:
    return "open_floor" if "open" in name or name == "descramble" else "floor"


Case = Callable[[], float]
"""Runs one round and returns nanoseconds per packet."""


def _cases(stack: contextlib.ExitStack, random: Random, clock: Clock) -> dict[str, Case]:
    stage = Stage(random, clock.monotonic_ns())
    gathers, singles = _Link(stack, PORT), _Link(stack, PORT + 2)
    gathers.receiver.take_trains()
    bench = _Bench(stage, clock)
    policy = default_policy("film")
    scrambled = _Bench(Stage(random, clock.monotonic_ns(), patterns=policy), clock)
    return {
        "floor": bench.timed(_bare_encrypt(random)),
        "seal": bench.timed(bench.seal),
        "seal_send": bench.timed(bench.seal_and_send(_sender(stack, PORT + 4), BATCH)),
        "seal_send_1": bench.timed(bench.seal_and_send(_sender(stack, PORT + 4), 1)),
        "open_floor": bench.timed(_bare_decrypt(random)),
        "open": bench.open,
        "receive_open": bench.emptying(gathers),
        "receive_open_live": bench.waking(gathers, LIVE_PACKETS),
        "receive_open_1": bench.waking(gathers, 1),
        "receive_open_nogro": bench.emptying(singles),
        "scramble": scrambled.timed(scrambled.seal),
        "descramble": scrambled.descramble,
    }


def _sender(stack: contextlib.ExitStack, port: int) -> MulticastSender:
    return stack.enter_context(open_sender(GROUP, port, choose_interface(GROUP, "lo").interface, ttl=0))


class _Link:
    """A sender and a receiver of one port."""

    def __init__(self, stack: contextlib.ExitStack, port: int) -> None:
        interface = choose_interface(GROUP, "lo").interface
        self.sender = _sender(stack, port)
        self.receiver = stack.enter_context(open_receiver(GROUP, port, interface))


class _Bench:
    """The cases: each runs a round and returns nanoseconds per packet."""

    def __init__(self, stage: Stage, clock: Clock) -> None:
        self._stage = stage
        self._clock = clock

    def timed(self, run: Callable[[], None]) -> Case:
        """Time all of what `run` does, for a round's packets."""

        def case() -> float:
            started_ns = thread_time_ns()
            run()
            return (thread_time_ns() - started_ns) / ROUND_PACKETS

        return case

    def seal(self) -> None:
        """Seal."""
        for _ in range(ROUND_BATCHES):
            self._stage.seal(BATCH)

    def seal_and_send(self, sender: MulticastSender, packets: int) -> Callable[[], None]:
        """Seal and send to nobody: what is measured is sending, not what a receiver costs."""
        return lambda: _seal_and_send(self._stage, sender, ROUND_PACKETS // packets, packets)

    def descramble(self) -> float:
        """Descramble trains that stand in memory; what the sender says of itself is heard before them."""
        self._stage.tell(self._clock.monotonic_ns())
        return self.open()

    def open(self) -> float:
        """Open trains that stand in memory."""
        session, spent_ns = self._stage.receiver, 0
        for _ in range(ROUND_BATCHES):
            batch = self._stage.seal(BATCH)
            session.train_buffer[: len(batch.data)] = batch.data
            now, started_ns = self._clock.monotonic_ns(), thread_time_ns()
            session.handle_train(len(batch.data), batch.segment_bytes, now)
            session.poll_slabs(now)
            spent_ns += thread_time_ns() - started_ns
        return spent_ns / ROUND_PACKETS

    def emptying(self, link: _Link) -> Case:
        """Fill the socket, then time emptying it."""

        def case() -> float:
            for _ in range(ROUND_BATCHES):
                batch = self._stage.seal(BATCH)
                link.sender.send_train(batch.data, batch.segment_bytes)
            before, started_ns = self._stage.receiver.stats.opened, thread_time_ns()
            self._take(link.receiver)
            spent_ns = thread_time_ns() - started_ns
            return spent_ns / max(1, self._stage.receiver.stats.opened - before)

        return case

    def waking(self, link: _Link, packets: int) -> Case:
        """Time a wake-up with what one train brings, many times."""
        poll = select.poll()
        poll.register(link.receiver, select.POLLIN)

        def case() -> float:
            before, spent_ns = self._stage.receiver.stats.opened, 0
            for _ in range(LIVE_TRAINS):
                batch = self._stage.seal(packets)
                link.sender.send_train(batch.data, batch.segment_bytes)
                started_ns = thread_time_ns()
                poll.poll()
                self._take(link.receiver)
                spent_ns += thread_time_ns() - started_ns
            return spent_ns / max(1, self._stage.receiver.stats.opened - before)

        return case

    def _take(self, receiver: MulticastReceiver) -> None:
        """Do what a receiver's loop does with what came; timers and key requests are not in it."""
        session = self._stage.receiver
        while (train := receiver.receive_train(session.train_buffer)) is not None:
            now = self._clock.monotonic_ns()
            session.handle_train(*train, now)
            session.pop_opened()
        session.poll_slabs(self._clock.monotonic_ns())


def seal_and_send_ns(stage: Stage, sender: MulticastSender, batches: int) -> float:
    """Seal and send so many full batches; return nanoseconds of the thread's processor time a packet."""
    started_ns = thread_time_ns()
    _seal_and_send(stage, sender, batches, BATCH)
    return (thread_time_ns() - started_ns) / (batches * BATCH)


def _seal_and_send(stage: Stage, sender: MulticastSender, batches: int, packets: int) -> None:
    for _ in range(batches):
        batch = stage.seal(packets)
        sender.send_train(batch.data, batch.segment_bytes)


def _bare_encrypt(random: Random) -> Callable[[], None]:
    encrypt_into, payload = AESGCM(random.bytes(16)).encrypt_into, random.bytes(PAYLOAD_BYTES)
    out, header = bytearray(PAYLOAD_BYTES + srtp.TAG_BYTES), bytes(rtp.HEADER_BYTES)
    nonces = [struct.pack(">IQ", 0, i) for i in range(ROUND_PACKETS)]

    def run() -> None:
        for nonce in nonces:
            encrypt_into(nonce, payload, header, out)

    return run


def _bare_decrypt(random: Random) -> Callable[[], None]:
    aead, nonce, header = AESGCM(random.bytes(16)), bytes(12), bytes(rtp.HEADER_BYTES)
    sealed, out = aead.encrypt(nonce, random.bytes(PAYLOAD_BYTES), header), bytearray(PAYLOAD_BYTES)

    def run() -> None:
        for _ in range(ROUND_PACKETS):
            aead.decrypt_into(nonce, sealed, header, out)

    return run
