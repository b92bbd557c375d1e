"""Owns the cycles that rules make of patterns, as bits that go round over payloads, and the book of patterns.

```
payload   ├── SEQ · step, modulo the cycle
cycle     0 1 2 … bits-1 0 1 2 …            first bit first, cut off where the payload ends
```
"""

from collections.abc import Callable, Iterable

from sealcast.core.errors import FormatError
from sealcast.core.ids import U32_MAX
from sealcast.core.secret import Secret
from sealcast.wire.patterns import Component, Pattern, Rule, Term

COMPONENTS_MAX = 65_536
"""Patterns of one key: an hour of changes every 50 ms; at the default 128 bits 1 MB."""

ROWS_MAX = 8
"""Payload lengths for which the stream is kept ready: 1316, the rest of a file, what an encoder varies."""

CYCLES_MAX = 4
"""Numbers whose cycle is kept ready: the present one, the next, and late packets'."""

Derive = Callable[[str, int, int], Secret]
"""Gives the pattern of a source under a number, so many bits long, as `Pattern` takes it."""


class Cycle:
    """The bits that go round over payloads, as whole payloads take them. Not printed; kept as numbers.

    Python's numbers are not overwritten when they go: what is erased is the patterns.
    """

    __slots__ = ("_rows", "_value", "bits", "step_bits")

    def __init__(self, value: int, bits: int, step_bits: int = 0) -> None:
        self._value = value
        self._rows: dict[int, tuple[int, int]] = {}
        self.bits = bits
        self.step_bits = step_bits

    def mask(self, payload_bytes: int, seq: int = 0) -> int:
        """Return what a payload of that length is XORed with, as a number; its highest bit is the first.

        0.2 µs for 1316 bytes, 1.3 µs where the rule has a step. The first of a length takes longer.
        """
        head, whole = self._rows.get(payload_bytes) or self._lay_out(payload_bytes)
        start = seq * self.step_bits % self.bits
        if not start:
            return head
        return whole >> self.bits - start & (1 << 8 * payload_bytes) - 1

    def _lay_out(self, payload_bytes: int) -> tuple[int, int]:
        """Remember the stream for a length, and a cycle more of it where packets begin further in."""
        if len(self._rows) >= ROWS_MAX:
            self._rows.pop(next(iter(self._rows)))
        length = 8 * payload_bytes
        whole = _go_round(self._value, self.bits, length + self.bits) if self.step_bits else 0
        row = self._rows[payload_bytes] = _go_round(self._value, self.bits, length), whole
        return row


class PatternBook:
    """The components of one key and the rule that takes them: gives the cycle of a pattern number.

    The caller decides what comes in: patterns come from key servers and keys, never from packets. Those that
    follow from a key are made when a number is asked for that takes them, all with `bits` bits.
    """

    def __init__(
        self, rule: Rule, components: Iterable[Component] = (), *, derive: Derive | None = None, bits: int = 0
    ) -> None:
        self.rule = rule
        self._derive = derive
        self._bits = bits
        self._patterns: dict[tuple[str, int], Pattern] = {}
        self._cycles: dict[int, Cycle] = {}
        for component in components:
            self.add(component)

    def add(self, component: Component) -> None:
        """Take a component; raises FormatError if there is another of its name, or one too many."""
        name = component.source, component.number
        if self._patterns.get(name, component.pattern) != component.pattern:
            raise FormatError(f"another pattern {component.source} under number {component.number}")
        if name not in self._patterns and len(self._patterns) >= COMPONENTS_MAX:
            raise FormatError(f"more than {COMPONENTS_MAX} patterns under one key")
        self._patterns[name] = component.pattern

    def cycle(self, number: int) -> Cycle | None:
        """Return the cycle of a pattern number; None while a pattern for it is missing.

        About 25 µs for one that is not ready; patterns that are derived for it stay until `drop_before`.
        """
        return self._cycles.get(number) or self._make_cycle(number)

    def drop_before(self, number: int) -> None:
        """Erase what no packet under `number` or a later one takes."""
        self._cycles = {each: cycle for each, cycle in self._cycles.items() if each >= number}
        for name in [name for name in self._patterns if name[1] < number - self.rule.first_number]:
            self._patterns.pop(name).secret.erase()

    def erase(self) -> None:
        """Erase everything."""
        self.drop_before(U32_MAX + self.rule.first_number + 1)

    def _make_cycle(self, number: int) -> Cycle | None:
        patterns = {term: self._find(term.source, number - term.back) for term in self.rule.terms}
        found = {term: pattern for term, pattern in patterns.items() if pattern is not None}
        if len(found) != len(patterns):
            return None
        if len(self._cycles) >= CYCLES_MAX:
            self._cycles.pop(next(iter(self._cycles)))
        cycle = self._cycles[number] = make_cycle(self.rule, found)
        return cycle

    def _find(self, source: str, number: int) -> Pattern | None:
        pattern = self._patterns.get((source, number))
        if pattern is None and self._derive is not None and number >= 0:
            pattern = Pattern(self._bits, self._derive(source, number, self._bits))
            self.add(Component(source, number, pattern))
        return pattern


def make_cycle(rule: Rule, patterns: dict[Term, Pattern]) -> Cycle:
    """Return the cycle of a rule whose terms take these patterns, not inverted yet."""
    whole = bits = 0
    for turn in rule.turns:
        length, value = max(patterns[term].bits for term in turn), 0
        for term in turn:
            value ^= _go_round(patterns[term].value(), patterns[term].bits, length)
            value ^= (1 << length) - 1 if term.inverted else 0
        whole, bits = whole << length | value, bits + length
    return Cycle(whole, bits, rule.step_bits)


def _go_round(value: int, bits: int, length: int) -> int:
    """Return the first `length` bits of what goes round and round."""
    while bits < length:
        value, bits = value << bits | value, 2 * bits
    return value >> bits - length
