"""Patterns and the rules that combine them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealcast.core.errors import FormatError
from sealcast.core.ids import U32_MAX
from sealcast.core.secret import Secret
from sealcast.testing import SimRandom
from sealcast.wire import cycles
from sealcast.wire.cycles import PatternBook
from sealcast.wire.patterns import NAMED_RULES, Component, Content, Pattern, Rule, Term
from wire.patterning import NUMBER, bits_of, cycle_of, full_book, of_bits, rules


def mask_bits(rule: str, **patterns: str) -> str:
    """Return the first 24 bits of a rule's stream."""
    return bits_of(cycle_of(rule, **patterns).mask(3).to_bytes(3))


def test_defaults_by_content() -> None:
    """News has the shortest patterns, data that is easy to guess the longest; all are S1's figures."""
    assert [kind.pattern_bits for kind in (Content.NEWS, Content.FILM, Content.DATA)] == [32, 128, 512]
    changes = [kind.change_ms for kind in (Content.NEWS, Content.FILM, Content.DATA)]
    assert changes == sorted(changes, reverse=True)


@pytest.mark.parametrize("bits", [4, 5, 8, 31, 32, 128, 512, 4_093, 4_096])
def test_drawn_patterns(bits: int) -> None:
    """A pattern of any length is drawn with all its bits, and they are as random as told."""
    first, second = (Pattern.draw(SimRandom(seed), bits) for seed in (1, 2))
    assert first == Pattern.draw(SimRandom(1), bits)
    assert first.bits == bits
    assert first.value() < 1 << bits
    assert bits < 32 or first != second


def test_no_pattern_of_equal_bits_is_drawn() -> None:
    """A draw of zeros or ones alone would hide nothing, and is changed."""
    drawn = {Pattern.draw(SimRandom(seed), 4).value() for seed in range(300)}
    assert drawn == set(range(1, 15))


@pytest.mark.parametrize(
    ("bits", "value"),
    [(3, b"\xa0"), (4_097, bytes(513)), (4, b""), (4, b"\xd0\x00"), (4, b"\xd8"), (9, b"\xd0")],
)
def test_bytes_that_are_no_pattern(bits: int, value: bytes) -> None:
    """Too short, too long, and bytes that do not have exactly the bits told are refused."""
    with pytest.raises(FormatError):
        Pattern(bits, Secret(value))


def test_a_pattern_is_not_printed() -> None:
    """Neither a pattern nor a cycle shows its bits."""
    pattern = of_bits("1101")
    assert str(pattern.secret.reveal()) not in repr(Component("a", 0, pattern))
    assert "1101" not in repr(pattern) + repr(cycle_of("a", a="1101"))


@pytest.mark.parametrize(
    ("rule", "stream"),
    [
        ("single", "1101" * 6),
        ("inverted", "11010010" * 3),
        ("alternating", "11010110" * 3),
        ("combined", "1011" * 6),
        ("two-times", "1000" * 6),
        ("~a", "0010" * 6),
        ("b,a+b", "01101011" * 3),
        ("~b+a1,b,~a", "110001100010" * 2),
    ],
)
def test_each_rule_by_hand(rule: str, stream: str) -> None:
    """Turns follow each other by position, terms are added bit by bit: worked out by hand for four bits."""
    assert mask_bits(rule, a="1101", b="0110", a1="0101") == stream


def test_patterns_of_several_lengths() -> None:
    """A turn is as long as its longest pattern, the others go round in it; turns differ in length."""
    assert mask_bits("a+b", a="110100", b="0110") == "101101" * 4
    assert mask_bits("a,b", a="110100", b="01100") == ("11010001100" * 3)[:24]


def test_the_names_stand_for_rules() -> None:
    """Each name is read as the rule that it stands for, and printed as that."""
    assert {name: str(Rule.parse(name)) for name in NAMED_RULES} == NAMED_RULES


@given(rules)
def test_a_rule_is_read_as_it_is_printed(rule: Rule) -> None:
    """What `str` gives, `parse` reads."""
    assert Rule.parse(str(rule)) == rule


@pytest.mark.parametrize(
    "text",
    [
        "", ",", "+", "a,", "a+", "i", "A", "a8", "a0", "~~a", "aa", "a a", "a\n", "@1", "a@", "a@0", "a@01",
        "a@-1", "a@32769", "a@1@1", "a@\u0661", "a\u00b9", "a+a", "a+~a", "a," * 8 + "a",
        "a+b+c+d+e+f+g+h+a1", "a" * 301, "twice",
    ],
)  # fmt: skip
def test_texts_that_are_no_rule(text: str) -> None:
    """What does not follow the layout, is too much of anything, or cancels itself is refused."""
    with pytest.raises(FormatError):
        Rule.parse(text)


@given(st.one_of(st.text(max_size=30), st.text("ab~+,1@", max_size=12)))
@settings(max_examples=200)
def test_any_text_as_a_rule(text: str) -> None:
    """A text is a rule, which is printed and read again as the same, or a FormatError."""
    try:
        rule = Rule.parse(text)
    except FormatError:
        return
    assert Rule.parse(str(rule)) == rule


@pytest.mark.parametrize(
    "turns",
    [(), ((),), ((Term("i"),),), ((Term("ab"),),), ((Term(""),),), ((Term("a", -1),),), ((Term("a", 8),),)],
)
def test_rules_made_wrong(turns: tuple[tuple[Term, ...], ...]) -> None:
    """A rule made without a text holds to the same."""
    with pytest.raises(FormatError):
        Rule(turns)


@pytest.mark.parametrize(("source", "number"), [("", 0), ("i", 0), ("ab", 0), ("a", -1), ("a", U32_MAX + 1)])
def test_components_made_wrong(source: str, number: int) -> None:
    """A component has a source from a to h and a number of 32 bits."""
    with pytest.raises(FormatError):
        Component(source, number, of_bits("1101"))


def test_a_number_waits_for_all_its_patterns() -> None:
    """A cycle is there once every component that the rule takes is; no other number's stands in for it."""
    rule = Rule.parse("a+b1")
    book = PatternBook(rule, [Component("a", 5, of_bits("1101"))])
    assert rule.first_number == 1
    assert book.cycle(5) is None
    book.add(Component("b", 5, of_bits("1111")))
    assert book.cycle(5) is None
    book.add(Component("b", 4, of_bits("0110")))
    assert [book.cycle(number) is not None for number in (0, 4, 5, 6, U32_MAX)] == [
        False,
        False,
        True,
        False,
        False,
    ]


def test_a_pattern_is_not_replaced() -> None:
    """The same component again is no news; another under its name is refused."""
    book = PatternBook(Rule.parse("a"), [Component("a", 0, of_bits("1101"))])
    book.add(Component("a", 0, of_bits("1101")))
    for other in ("1100", "11010"):
        with pytest.raises(FormatError, match="another pattern"):
            book.add(Component("a", 0, of_bits(other)))


def test_a_book_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """More patterns than a key may have are refused; lengths and numbers do not add up either."""
    monkeypatch.setattr(cycles, "COMPONENTS_MAX", 8)
    book = full_book(Rule.parse("a"), {"a": 32})
    with pytest.raises(FormatError, match="more than 8"):
        book.add(Component("b", 0, of_bits("1101")))
    made = [book.cycle(number) for number in range(NUMBER + 1)]
    assert [book.cycle(number) is made[number] for number in (7, 6, 5, 4, 0)] == [True] * 4 + [False]
    cycle = made[-1]
    assert cycle is not None
    first = [cycle.mask(length) for length in range(100)]
    assert [cycle.mask(length) for length in range(100)] == first
    assert len(cycle._rows) == cycles.ROWS_MAX


def test_what_is_over_is_erased() -> None:
    """Patterns that no later number takes are overwritten, the rest stays; then all."""
    patterns = [of_bits(f"{number:04b}") for number in range(1, 6)]
    book = PatternBook(
        Rule.parse("a+a1"), [Component("a", place, each) for place, each in enumerate(patterns)]
    )
    assert book.cycle(2) is not None
    book.drop_before(3)
    assert [len(each.secret) for each in patterns] == [0, 0, 1, 1, 1]
    assert [book.cycle(number) is not None for number in range(5)] == [False, False, False, True, True]
    book.erase()
    assert not any(len(each.secret) for each in patterns)
    assert book.cycle(4) is None
