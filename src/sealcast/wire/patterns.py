"""Owns key bit patterns and the rules by which several of them make one bit stream (S1-10, S1-11).

```
rule  "a,~a"     turns      a          ~a         a          ~a        …   taken in turn, by position
      "a+b1"     cycle      a XOR b1                                   …   combined, bit by bit
                 payload    1001       1010       …
```
A *component* is the pattern of one source, `a` to `h`, under one number. A rule names them by the number in a
packet: `b` is what source b gave under it, `b1` under the one before; `~` inverts. All turns of a rule, one
behind the other, are its *cycle*, which goes round over the payload from its head, first bit first. It hides
little: docs/spec/scramble.md.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Self

from sealcast.core.errors import FormatError
from sealcast.core.ids import U32_MAX
from sealcast.core.ports import Random
from sealcast.core.secret import Secret

PATTERN_BITS_MIN, PATTERN_BITS_MAX = 4, 4096
"""The example of S1 has 4; beyond 4096 a pattern is longer to send than what it would hide any better."""

TURNS_MAX = TERMS_MAX = 8
"""A cycle has 32,768 bits at most, 4 kB, and takes 64 patterns to make."""

BACK_MAX = 7
"""How many numbers back a rule may reach; so many more patterns are kept."""

RULE_TEXT_MAX = 300
"""Longer than any rule: 64 terms of 4 characters, and a step."""

SOURCES = tuple("abcdefgh")

NAMED_RULES = {
    "single": "a",
    "inverted": "a,~a",
    "alternating": "a,b",
    "combined": "a+b",
    "two-times": "a+a1",
}
"""One pattern; S1's inverted pair (Fig. 31); two sources in turn, or at once; one source at two times."""

_TERM = re.compile(rf"(~?)([a-h])([1-{BACK_MAX}]?)")
_STEP = re.compile(r"[1-9][0-9]{0,4}")


class Content(Enum):
    """Kinds of content, each with the bits that its patterns have unless told otherwise.

    S1 names 32, 128 and 512; that news, soon worth nothing, need few; and that character data are easier to
    guess than pictures. Which kind has which is ours.
    """

    NEWS = 32
    FILM = 128
    DATA = 512

    @property
    def pattern_bits(self) -> int:
        """How many bits its patterns have by default."""
        return self.value

    @property
    def change_ms(self) -> int:
        """How long a pattern of its stays by default: news 60 s, films 10 s, data 1 s.

        Whoever finds a pattern has what is sent until it changes, so what is worth more changes more often. A
        change costs a few µs and no packet. By time alone, since that works with every framing.
        """
        return _CHANGE_MS[self]


_CHANGE_MS = {Content.NEWS: 60_000, Content.FILM: 10_000, Content.DATA: 1_000}


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern of 4 to 4096 bits; `secret` has them from the first byte's top bit on, then zeros to a byte.

    Raises FormatError if length and bytes do not fit.
    """

    bits: int
    secret: Secret

    def __post_init__(self) -> None:
        if not PATTERN_BITS_MIN <= self.bits <= PATTERN_BITS_MAX:
            raise FormatError(f"a pattern has {PATTERN_BITS_MIN} to {PATTERN_BITS_MAX} bits, not {self.bits}")
        if len(self.secret) != (self.bits + 7) // 8:
            raise FormatError(f"a pattern of {self.bits} bits does not have {len(self.secret)} bytes")
        if self.secret.reveal()[-1] & (1 << -self.bits % 8) - 1:
            raise FormatError("bits are set behind the end of a pattern")

    @classmethod
    def draw(cls, random: Random, bits: int) -> Self:
        """Return a random pattern, never one of equal bits, which would hide nothing."""
        size, spare = (bits + 7) // 8, -bits % 8
        value = int.from_bytes(random.bytes(size)) >> spare
        if value in {0, (1 << bits) - 1}:
            value ^= 1
        return cls(bits, Secret((value << spare).to_bytes(size)))

    def value(self) -> int:
        """Return the bits as a number, the first as the highest."""
        return int.from_bytes(self.secret.reveal()) >> -self.bits % 8


@dataclass(frozen=True, slots=True)
class Component:
    """The pattern that a source (`a` to `h`, each a key server or a time's choice) gave under a number."""

    source: str
    number: int
    pattern: Pattern

    def __post_init__(self) -> None:
        if self.source not in SOURCES or not 0 <= self.number <= U32_MAX:
            raise FormatError("a pattern's source is a letter from a to h, its number has 32 bits")


@dataclass(frozen=True, slots=True)
class Term:
    """A component as a rule takes it: of which source, how many numbers back, inverted or not."""

    source: str
    back: int = 0
    inverted: bool = False

    def __str__(self) -> str:
        return f"{'~' if self.inverted else ''}{self.source}{self.back or ''}"


@dataclass(frozen=True, slots=True)
class Rule:
    """How components make a cycle: turns one behind the other, each the XOR of its terms.

    A turn is as long as its longest pattern; shorter ones go round within it. The cycle begins at the head of
    each payload, or `step_bits` further in with each packet: at (SEQ · step) mod its length. Raises
    FormatError if there are too many of anything, or a turn has one component twice: it would fall out.
    """

    turns: tuple[tuple[Term, ...], ...]
    step_bits: int = 0

    def __post_init__(self) -> None:
        sizes = [len(turn) for turn in self.turns]
        if not 1 <= len(sizes) <= TURNS_MAX or not all(1 <= size <= TERMS_MAX for size in sizes):
            raise FormatError(f"a rule has 1 to {TURNS_MAX} turns of 1 to {TERMS_MAX} patterns")
        for turn in self.turns:
            if len({(term.source, term.back) for term in turn}) != len(turn):
                raise FormatError("a pattern stands twice in one turn of a rule, and would fall out")
        if not all(term.source in SOURCES and 0 <= term.back <= BACK_MAX for term in self.terms):
            raise FormatError(f"a rule takes sources a to h, and reaches {BACK_MAX} numbers back at most")
        if not 0 <= self.step_bits <= TURNS_MAX * PATTERN_BITS_MAX:
            raise FormatError("a rule's step is longer than any cycle")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `a,~a`, `a+b1`, `a@13` and the like, or a name of NAMED_RULES; raises FormatError."""
        text = NAMED_RULES.get(text, text)
        body, at, step = text.partition("@")
        if len(text) > RULE_TEXT_MAX or (at and not _STEP.fullmatch(step)):
            raise FormatError(f"not a rule for patterns: {text[:40]!r}")
        turns = tuple(tuple(map(_parse_term, turn.split("+"))) for turn in body.split(","))
        return cls(turns, int(step or 0))

    @property
    def terms(self) -> Iterable[Term]:
        """All terms, turn for turn."""
        return (term for turn in self.turns for term in turn)

    @property
    def first_number(self) -> int:
        """The lowest number that packets can have: the rule reaches back from it to number 0."""
        return max(term.back for term in self.terms)

    def __str__(self) -> str:
        turns = ",".join("+".join(map(str, turn)) for turn in self.turns)
        return f"{turns}@{self.step_bits}" if self.step_bits else turns


def _parse_term(text: str) -> Term:
    found = _TERM.fullmatch(text)
    if found is None:
        raise FormatError(f"not a pattern in a rule: {text[:40]!r}; write for instance a, ~a or b1")
    return Term(found[2], int(found[3] or 0), bool(found[1]))
