"""Owns patterns by hand, strategies for rules, and scrambling bit by bit that shares no code with ours."""

from dataclasses import replace

from hypothesis import strategies as st

from sealcast.core.channel import ChannelSpec, Suite
from sealcast.core.scrambling import PatternPolicy
from sealcast.core.secret import Secret
from sealcast.testing import SimRandom
from sealcast.wire.cycles import Cycle, PatternBook
from sealcast.wire.patterns import BACK_MAX, SOURCES, Component, Pattern, Rule, Term

NUMBER = BACK_MAX
"""The pattern number of most tests: every rule can reach back from it."""


def scrambled(spec: ChannelSpec, policy: str) -> ChannelSpec:
    """Return the channel, scrambled by a policy."""
    return replace(spec, suite=Suite.SCRAMBLE, patterns=PatternPolicy.parse(policy))


def of_bits(text: str) -> Pattern:
    """Return the pattern whose bits are written out."""
    size = (len(text) + 7) // 8
    return Pattern(len(text), Secret(int(text.ljust(8 * size, "0"), 2).to_bytes(size)))


def bits_of(data: bytes) -> str:
    """Return the bits of bytes, written out."""
    return "".join(f"{byte:08b}" for byte in data)


def bytes_of(bits: str) -> bytes:
    """Return whole bytes for their bits; blanks are left out."""
    text = bits.replace(" ", "")
    return bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))


def cycle_of(rule: str, **patterns: str) -> Cycle:
    """Return the cycle of a rule under NUMBER from patterns named `a`, `b1` and so on, in bits."""
    components = [
        Component(name[0], NUMBER - int(name[1:] or 0), of_bits(text)) for name, text in patterns.items()
    ]
    cycle = PatternBook(Rule.parse(rule), components).cycle(NUMBER)
    assert cycle is not None
    return cycle


def full_book(rule: Rule, bits: dict[str, int], numbers: range = range(NUMBER + 1)) -> PatternBook:
    """Return a book with a random pattern of each source, as long as told, under each number."""
    book = PatternBook(rule)
    for source, length in bits.items():
        for number in numbers:
            random = SimRandom(f"{source} {number} {length}")
            book.add(Component(source, number, Pattern.draw(random, length)))
    return book


def bit_by_bit(rule: Rule, patterns: dict[tuple[str, int], str], data: bytes, seq: int) -> bytes:
    """Return scrambled data, one character for a bit, as docs/spec/scramble.md says it."""
    cycle = ""
    for turn in rule.turns:
        taken = [(patterns[term.source, NUMBER - term.back], term.inverted) for term in turn]
        for place in range(max(len(pattern) for pattern, _ in taken)):
            ones = sum((pattern[place % len(pattern)] == "1") != inverted for pattern, inverted in taken)
            cycle += str(ones % 2)
    start = seq * rule.step_bits
    return bytes_of(
        "".join("01"[bit != cycle[(start + place) % len(cycle)]] for place, bit in enumerate(bits_of(data)))
    )


terms = st.builds(Term, st.sampled_from(SOURCES[:3]), st.integers(0, BACK_MAX), st.booleans())
turns = st.lists(terms, min_size=1, max_size=3, unique_by=lambda term: (term.source, term.back)).map(tuple)
rules = st.builds(Rule, st.lists(turns, min_size=1, max_size=3).map(tuple), st.integers(0, 300))
lengths = st.one_of(st.integers(4, 80), st.sampled_from([128, 509, 512, 4_095, 4_096]))
books = st.builds(full_book, rules, st.fixed_dictionaries(dict.fromkeys(SOURCES[:3], lengths)))
