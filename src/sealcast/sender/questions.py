"""Owns the sender's answers to questions: which get one, how many in a second, and what they cost us.

| limit                     | value                    | because                                            |
|---------------------------|--------------------------|----------------------------------------------------|
| answers in all            | 200 a second, 200 at once | signing takes 60 µs: 1 % of a core                |
| answers to one host       | 10 a second, 20 at once  | a home with many receivers behind one address      |
| hosts remembered          | 4,096                    | those that asked longest ago are forgotten         |

An IPv6 host is its /64. Whatever is malformed, of another channel or over a limit gets no answer.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass

from sealcast.core.errors import FormatError
from sealcast.core.ids import ChannelNumber
from sealcast.core.ports import NS_PER_S
from sealcast.wire.asking import build_answer, parse_question
from sealcast.wire.seal import Seal

ANSWERS_PER_S, ANSWERS_AT_ONCE = 200, 200
HOST_ANSWERS_PER_S, HOST_ANSWERS_AT_ONCE = 10, 20
HOSTS_MAX = 4_096

_V6_PREFIX = 64


@dataclass(slots=True)
class QuestionCounts:
    """What became of questions. `limited` were good, but over a limit; `refused` were none for us."""

    answered: int = 0
    limited: int = 0
    refused: int = 0


class QuestionDesk:
    """Answers the questions about one channel."""

    def __init__(
        self,
        channel: ChannelNumber,
        told: Callable[[int], Seal | None],
        sign: Callable[[bytes], bytes],
    ) -> None:
        """`told` gives what a SEAL packet would say now, None off air; `sign` makes Ed25519 signatures."""
        self._channel, self._told, self._sign = channel, told, sign
        self._all = _Pace(ANSWERS_PER_S, ANSWERS_AT_ONCE)
        self._hosts: dict[str, _Pace] = {}
        self.counts = QuestionCounts()

    def answer(self, data: bytes, host: str, now: int) -> bytes | None:
        """Return the answer to a datagram of a numeric address; None if it gets none.

        About 60 µs for one that is answered, 5 µs for another.
        """
        try:
            question = parse_question(data)
        except FormatError:
            self.counts.refused += 1
            return None
        if question.channel != self._channel:
            self.counts.refused += 1
            return None
        # The host first: one that asks too often takes nothing from the others.
        if not (self._pace_of(host).take(now) and self._all.take(now)):
            self.counts.limited += 1
            return None
        seal = self._told(now)
        if seal is None:
            self.counts.refused += 1
            return None
        self.counts.answered += 1
        return build_answer(seal, question.nonce, self._sign)

    def _pace_of(self, host: str) -> "_Pace":
        """Return a host's pace, which becomes the one that is forgotten last."""
        name = _host_name(host)
        pace = self._hosts.pop(name, None)
        if pace is None:
            if len(self._hosts) >= HOSTS_MAX:
                del self._hosts[next(iter(self._hosts))]
            pace = _Pace(HOST_ANSWERS_PER_S, HOST_ANSWERS_AT_ONCE)
        self._hosts[name] = pace
        return pace


class _Pace:
    """Lets so many through in a second, and so many at once after a pause."""

    __slots__ = ("_burst_ns", "_paid_ns", "_step_ns")

    def __init__(self, per_s: int, at_once: int) -> None:
        self._step_ns = NS_PER_S // per_s
        self._burst_ns = self._step_ns * (at_once - 1)
        self._paid_ns = 0

    def take(self, now: int) -> bool:
        """Whether one more is let through."""
        paid_ns = max(self._paid_ns, now)
        if paid_ns - now > self._burst_ns:
            return False
        self._paid_ns = paid_ns + self._step_ns
        return True


def _host_name(host: str) -> str:
    """Return what limits count by: an IPv4 address, or the /64 of an IPv6 address."""
    if ":" not in host:
        return host
    network = ipaddress.ip_network((host.partition("%")[0], _V6_PREFIX), strict=False)
    return str(network)
