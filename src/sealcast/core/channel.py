"""Owns the description of a channel: what an operator sets once and everybody works by."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from sealcast.core.errors import UsageError
from sealcast.core.ids import ChannelNumber
from sealcast.core.scrambling import PatternPolicy

CONTROL_PORT_OFFSET = 1
"""Control packets travel on the data port + 1 (RFC 3550 §11)."""

REPEATS = 5
"""So often an update is sent: at 5 % independent loss 0.3 receivers of a million miss it (0.05⁵ < 10⁻⁶)."""

DURATION_DIGITS_MAX = 15
"""Enough for any duration, and still an exact number."""

RATE_DECIMALS = 6
"""A rate is kept to 0.0001 %, so that the text we send is read as the same rate."""

DURATION_UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Suite(StrEnum):
    """Protection of the packets of a channel (RFC 7714 §12).

    `SCRAMBLE` is S1's XOR with key bit patterns (S1-10), which protects nothing that is worth protecting; its
    control packets are sealed with AES-128-GCM all the same, and its patterns follow from the same TEK.
    """

    AES_128_GCM = "aes-128-gcm"
    AES_256_GCM = "aes-256-gcm"
    SCRAMBLE = "scramble"

    @property
    def key_bytes(self) -> int:
        """Length of the SRTP master key: 16 or 32."""
        return 32 if self is Suite.AES_256_GCM else 16


SALT_BYTES = 12
"""Length of the SRTP master salt of all suites (RFC 7714 §12)."""


class ScheduleKind(StrEnum):
    """How receivers come by the next key: each fetches it, or it follows from the one they hold (S0-9)."""

    FETCH = "fetch"
    CHAIN = "chain"


class Framing(StrEnum):
    """What a data packet says of its key: its key ID, or nothing (S1-15), then the sender is asked."""

    KEYED = "keyed"
    RTP = "rtp"
    UDP = "udp"


class KeyMaker(StrEnum):
    """Who makes the keys of a channel (S1-6)."""

    SENDER = "sender"
    KEYSERVER = "keyserver"


@dataclass(frozen=True, slots=True)
class Threshold:
    """A remaining time, as a value in ms or as a rate of the epoch's lifetime; exactly one is set."""

    value_ms: int | None = None
    rate: float | None = None

    def __post_init__(self) -> None:
        if (self.value_ms is None) == (self.rate is None):
            raise UsageError("a threshold is either a time or a rate")
        if self.value_ms is not None and self.value_ms <= 0:
            raise UsageError("a threshold's time must be above 0")
        if self.rate is not None and not 0 < self.rate < 1:
            raise UsageError("a threshold's rate lies between 0 % and 100 %")

    def of_ms(self, lifetime_ms: int) -> int:
        """Return the remaining time in ms that this threshold means for `lifetime_ms`."""
        if self.value_ms is not None:
            return min(self.value_ms, lifetime_ms)
        return int(lifetime_ms * (self.rate or 0.0))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `25%` or a duration such as `90s`; raises UsageError."""
        if text.endswith("%"):
            try:
                return cls(rate=round(float(text[:-1]) / 100, RATE_DECIMALS))
            except ValueError as error:
                raise UsageError(f"not a percentage: {text!r}; write for instance 25%") from error
        return cls(value_ms=parse_duration_ms(text))

    def __str__(self) -> str:
        if self.rate is not None:
            return f"{self.rate * 100:g}%"
        return format_duration(self.value_ms or 0)


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """One channel: where it is sent and how its keys live.

    `group` is an IPv4 or IPv6 multicast address, `port` even (control is on port + 1), `source` the
    sender's address for source-specific multicast (RFC 4607). `interface` is the operator's hint for the
    sender; receivers choose their own.

    With the schedule `chain` a key not derived from the one before comes every `fresh_every_ms` (T2 of
    S0-11), each update is sent `repeats` times, and Ku comes round after `cycle` changes (0: never).
    `patterns` is set for the suite `scramble` alone. `ask` is `host:port` of the sender's endpoint for
    streams that carry no key ID. A `confidential` channel is never scrambled.
    """

    number: ChannelNumber
    name: str
    group: str
    port: int
    source: str | None = None
    interface: str | None = None
    suite: Suite = Suite.AES_128_GCM
    keys: KeyMaker = KeyMaker.SENDER
    lifetime_ms: int = 600_000
    publish_at: Threshold = Threshold(rate=0.5)
    prefetch_at: Threshold = Threshold(rate=0.25)
    schedule: ScheduleKind = ScheduleKind.FETCH
    fresh_every_ms: int = 3_600_000
    repeats: int = REPEATS
    cycle: int = 0
    confidential: bool = False
    patterns: PatternPolicy | None = None
    framing: Framing = Framing.KEYED
    ask: str | None = None

    @property
    def fresh_epochs(self) -> int:
        """How many epochs of the schedule a chain has at most: T2 / T1, 1 at least."""
        return max(1, self.fresh_every_ms // self.lifetime_ms)

    @property
    def control_port(self) -> int:
        """Port of the SEAL packets."""
        return self.port + CONTROL_PORT_OFFSET


def parse_duration_ms(text: str) -> int:
    """Read `500ms`, `90s`, `10m`, `1h` or `1d` as milliseconds above 0; raises UsageError."""
    for unit in ("ms", "s", "m", "h", "d"):
        number = text.removesuffix(unit)
        digits = number.replace(".", "", 1)
        if number != text and digits.isascii() and digits.isdigit() and len(digits) <= DURATION_DIGITS_MAX:
            value = round(float(number) * DURATION_UNITS_MS[unit])
            if value > 0:
                return value
    raise UsageError(f"not a duration: {text!r}; write for instance 500ms, 90s, 10m or 1h")


def format_duration(duration_ms: int) -> str:
    """Return the shortest exact form that `parse_duration_ms` reads."""
    for unit in ("d", "h", "m", "s"):
        if duration_ms % DURATION_UNITS_MS[unit] == 0:
            return f"{duration_ms // DURATION_UNITS_MS[unit]}{unit}"
    return f"{duration_ms}ms"
