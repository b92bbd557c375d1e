"""Entries: always balanced, told twice they are one, corrected by others; shares to the last micro-unit."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import UsageError
from sealcast.ledger.entries import Entry, Posting, account, balances, check_account, divide, reverse

NAMES = st.sampled_from(
    ["subscriber:TV-1", "subscriber:TV-2", "operator:income", "broadcaster:one", "tax:19"]
)
AMOUNTS = st.integers(1, 10**15)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Return a balanced entry over a few accounts."""
    postings = [Posting(draw(NAMES), draw(AMOUNTS)) for _ in range(draw(st.integers(1, 5)))]
    postings.append(Posting(draw(NAMES), -sum(each.amount_micro for each in postings)))
    return Entry(f"e-{draw(st.integers(0, 10**9))}", "EUR", draw(st.integers(0, 10**13)), tuple(postings))


@given(st.lists(entries(), max_size=20))
def test_balanced_after_every_prefix(told: list[Entry]) -> None:
    """Whatever was entered so far, all accounts add up to nothing."""
    for count in range(len(told) + 1):
        assert sum(balances(told[:count]).values()) == 0


@given(entries())
def test_an_entry_and_its_reverse_leave_nothing(entry: Entry) -> None:
    """A correction takes back every posting, and names what it corrects."""
    back = reverse(entry, "correction-1", entry.effective_ms + 1, "a mistake")
    assert set(balances([entry, back]).values()) <= {0}
    assert back.corrects == entry.id


@given(entries(), st.randoms(use_true_random=False))
def test_the_order_of_postings_is_nothing(entry: Entry, random: object) -> None:
    """An entry told again with its postings in another order is the same; with other amounts it is not."""
    shuffled = list(entry.postings)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    again = Entry(entry.id, entry.currency, entry.effective_ms, tuple(shuffled))
    other = Entry(entry.id, entry.currency, entry.effective_ms, (Posting("a:b", 1), Posting("c:d", -1)))
    assert entry.is_same_as(again)
    assert not entry.is_same_as(other)


@given(st.integers(-(10**18), 10**18), st.lists(st.integers(0, 10**9), min_size=1, max_size=50).filter(any))
def test_shares_add_up(amount: int, weights: list[int]) -> None:
    """Nothing is lost and nothing made, and nobody is off by a micro-unit or more."""
    parts = divide(amount, tuple(weights))
    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part * sum(weights) - amount * weight) < sum(weights)


IDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=128)


@given(IDS, IDS)
def test_a_name_for_every_id(one: str, other: str) -> None:
    """Any id makes an account's name that an entry takes; the id is read from it, and no two share one."""
    name = account("subscriber", one)
    check_account(name)
    assert unquote(name) == f"subscriber:{one}"
    assert (account("subscriber", other) == name) == (other == one)


def test_names_of_accounts() -> None:
    """What is plain stays as it is; all else is encoded in one way only."""
    assert account("subscriber", "TV-0001") == "subscriber:TV-0001"
    assert account("operator", "income") == "operator:income"
    assert account("broadcaster", "_a/b:c~%41", "x") == "broadcaster:_a%2Fb%3Ac%7E%2541:x"
    assert account("suspense") == "suspense"


@pytest.mark.parametrize(
    "name",
    [
        *("", ":", "a:", "A:b", "a b", "a:b ", "a:b\n", "a:b:c:d:e", "a::b", "9:a", "a:\u00fc"),
        *("a:%", "a:%4", "a:%41", "a:%2f", "a:%20", "a:%7F", "a:%C3%BC", "a:%00", "a:b/c", "a:" + "b" * 129),
        "a:" + "%2F" * 100 + ":" + "%2F" * 100,
    ],
)
def test_what_is_no_account(name: str) -> None:
    """No second spelling of an account passes for another account, and nothing that is none."""
    with pytest.raises(UsageError, match="not an account"):
        check_account(name)


@pytest.mark.parametrize(
    "parts", [("",), ("a b",), ("\u00fc",), ("x" * 129,), ("a\n",), ("~" * 100, "~" * 100)]
)
def test_ids_that_make_no_account(parts: tuple[str, ...]) -> None:
    """Nothing, spaces, control characters and letters beyond ASCII make no part of a name."""
    with pytest.raises(UsageError):
        account("subscriber", *parts)


ONE = (Posting("a:b", 1), Posting("c:d", -1))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Entry("", "EUR", 0, ONE),
        lambda: Entry("an id", "EUR", 0, ONE),
        lambda: Entry("x" * 129, "EUR", 0, ONE),
        lambda: Entry("e", "XXQ", 0, ONE),
        lambda: Entry("e", "EUR", -1, ONE),
        lambda: Entry("e", "EUR", 0, ()),
        lambda: Entry("e", "EUR", 253_402_300_800_000, ONE),
        lambda: Entry("e", "EUR", 0, ONE, "m" * 501),
        lambda: Entry("e", "EUR", 0, ONE, "two\nlines"),
        lambda: Entry("e", "EUR", 0, ONE, "a \x1b[2J screen"),
        lambda: Entry("e", "EUR", 0, ONE, "", "an id"),
        lambda: Entry("e", "EUR", 0, (Posting("a:b", 1),)),
        lambda: Entry("e", "EUR", 0, (Posting("a:b", 0),)),
        lambda: Entry("e", "EUR", 0, (Posting("A b", 1), Posting("c:d", -1))),
        lambda: Entry("e", "EUR", 0, (Posting("a:b", 10**19), Posting("c:d", -(10**19)))),
        lambda: Entry("e", "EUR", 0, tuple(Posting(a, s * 10**18) for a in ("a:b", "c:d") for s in (1, -1))),
        lambda: divide(1, ()),
        lambda: divide(1, (0, 0)),
        lambda: divide(1, (2, -1)),
    ],
)
def test_what_is_no_entry(wrong: object) -> None:
    """Unbalanced, empty, absurd or misnamed: refused before anything is written."""
    with pytest.raises(UsageError):
        wrong()  # type: ignore[operator]
