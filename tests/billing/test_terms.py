"""Shows that terms and tariffs are the same thing said twice, and what no tariff may say."""

import pytest
from hypothesis import given, settings

from billing.some import versions
from sealcast.billing.rating import LIMIT, TAX
from sealcast.billing.tariffs import TariffVersion
from sealcast.billing.terms import decode_terms, encode_terms, terms_of, version_of
from sealcast.core.errors import LocalError, UsageError
from sealcast.messages.charging import PriceTerms, StepTerms, Terms


@settings(max_examples=30, deadline=None, derandomize=True)
@given(versions())
def test_terms_and_versions_are_one(version: TariffVersion) -> None:
    """A version becomes terms, goes into the database and comes back as what it was."""
    terms = decode_terms(encode_terms(terms_of(version)))
    assert version_of(version.currency, terms, version.valid_from_ms, version.valid_until_ms) == version


def one(quantity: str = "bytes", name: str = "Data", **more: object) -> PriceTerms:
    """Return a price in terms."""
    fields = {"steps": [StepTerms(price_micro=100_000, per=10**9)], **more}
    return PriceTerms(name=name, quantity=quantity, **fields)  # type: ignore[arg-type] # as the case has it


def steps(*each: tuple[int, int, int | None]) -> dict[str, object]:
    """Return the steps of a price: amount, units, end."""
    return {"steps": [StepTerms(price_micro=a, per=b, up_to=c) for a, b, c in each]}


ABSURD = [
    (Terms(prices=[]), "1 to 32 prices"),
    (Terms(prices=[one(name=f"{n}") for n in range(33)]), "1 to 32 prices"),
    (Terms(prices=[one(), one()]), "one name"),
    (Terms(prices=[one(name=TAX)]), "has that name"),
    (Terms(prices=[one(name=LIMIT)]), "has that name"),
    (Terms(prices=[one(name="two\nlines")]), "1 to 64 characters"),
    (Terms(prices=[one(name=" Data")]), "spaces around"),
    (Terms(prices=[one(steps=[])]), "1 to 32 steps"),
    (Terms(prices=[one(**steps((-1, 1, None)))]), "amounts are from 0 on"),
    (Terms(prices=[one(**steps((1, 0, None)))]), "1 unit or more"),
    (Terms(prices=[one(**steps((1, 1, 5)))]), "has no end"),
    (Terms(prices=[one(**steps((1, 1, None), (1, 1, None)))]), "has no end"),
    (Terms(prices=[one(**steps((1, 1, 5), (1, 1, 5), (1, 1, None)))]), "above the one before"),
    (Terms(prices=[one(**steps((10**19, 10**9, None)))]), "amounts are from 0 on"),
    (Terms(prices=[one(**steps((10**6, 1, None)))]), "more money than there is"),
    (Terms(prices=[one("epochs", **steps((10**18, 10**8, None)))]), "more money than there is"),
    (Terms(prices=[one(free=-1)]), "from 0 on"),
    (Terms(prices=[one("periods", free=5)]), "neither steps nor free units"),
    (Terms(prices=[one("periods", **steps((1, 1, 5), (1, 1, None)))]), "neither steps nor free units"),
    (Terms(prices=[one()], minimum_micro=-1), "between 0 and the cap"),
    (Terms(prices=[one()], minimum_micro=2, cap_micro=1), "between 0 and the cap"),
    (Terms(prices=[one()], cap_micro=-1), "between 0 and the cap"),
    (Terms(prices=[one()], cap_micro=10**18 + 1), "between 0 and the cap"),
    (Terms(prices=[one()], tax_ppm=-1), "between 0 and 100 %"),
    (Terms(prices=[one()], tax_ppm=1_000_001), "between 0 and 100 %"),
]


@pytest.mark.parametrize(("terms", "why"), ABSURD, ids=[why for _, why in ABSURD])
def test_what_no_tariff_says(terms: Terms, why: str) -> None:
    """Every absurdity is refused, in one line that says what is wrong."""
    with pytest.raises(UsageError, match=why) as refused:
        version_of("EUR", terms, 0)
    assert "\n" not in str(refused.value)


def test_currency_and_validity() -> None:
    """A currency that is none, or that nobody pays in, and a validity that ends before it begins."""
    good = Terms(prices=[one()])
    with pytest.raises(UsageError, match="no currency has the code 'EUX'"):
        version_of("EUX", good, 0)
    with pytest.raises(UsageError, match="nothing is paid in it"):
        version_of("XAU", good, 0)
    with pytest.raises(UsageError, match="ends after it begins"):
        version_of("EUR", good, 5, 5)


def test_what_the_database_holds_and_is_none() -> None:
    """A row that is no tariff is our own fault, and said so."""
    with pytest.raises(LocalError, match="nobody can read"):
        decode_terms("{}")
