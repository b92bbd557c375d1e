"""Owns the policy of a scrambled channel: by which rule, how long, for how long."""

import re
from dataclasses import dataclass
from typing import Self

from sealcast.core.errors import UsageError

_EVERY = re.compile(r"([1-9][0-9]{0,14})(ms|B|p)")
_FIELDS = 3


@dataclass(frozen=True, slots=True)
class PatternPolicy:
    """How a scrambled channel makes its patterns (S1-10); as text `RULE;BITS;EVERY[,EVERY]`.

    `rule` is a name or text of `wire.patterns.Rule`, `bits` the length of a pattern; a new one comes after so
    many bytes of payload, packets or ms, whichever is first: `inverted;128;10000ms,5000p`.
    """

    rule: str = "single"
    bits: int = 128
    after_bytes: int | None = None
    after_packets: int | None = None
    after_ms: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form; raises UsageError. Rule and bits are checked where rules are known."""
        fields = text.split(";")
        if len(fields) != _FIELDS or not (fields[1].isascii() and fields[1].isdigit()):
            raise UsageError(f"not a policy for patterns: {text[:80]!r}")
        after: dict[str, int] = {}
        for each in fields[2].split(","):
            found = _EVERY.fullmatch(each)
            if found is None or found[2] in after:
                raise UsageError(f"not a policy for patterns: {text[:80]!r}")
            after[found[2]] = int(found[1])
        return cls(fields[0], int(fields[1]), after.get("B"), after.get("p"), after.get("ms"))

    def __str__(self) -> str:
        after = ((self.after_bytes, "B"), (self.after_packets, "p"), (self.after_ms, "ms"))
        every = ",".join(f"{count}{unit}" for count, unit in after if count is not None)
        return f"{self.rule};{self.bits};{every}"
