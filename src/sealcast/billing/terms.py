"""Owns the way between what operators say of a tariff and the tariff itself, and refuses what is absurd.

Messages and the database have `messages.charging.Terms`; rating has `tariffs.TariffVersion`.
"""

from sealcast.billing.rating import LIMIT, TAX
from sealcast.billing.tariffs import Mode, Price, Quantity, Step, TariffVersion
from sealcast.core.errors import FormatError, LocalError, UsageError
from sealcast.ledger.money import AMOUNT_MICRO_MAX
from sealcast.messages.charging import PriceTerms, StepTerms, Terms
from sealcast.messages.encoding import decode, encode
from sealcast.messages.parties import is_line

RESERVED = (LIMIT, TAX)
"""Names of lines that no price makes: with one of them two lines of an invoice would be one."""

UNITS_LIKELY_MAX = {
    Quantity.PERIODS: 1,
    Quantity.SUBSCRIBED_MS: 10**13,
    Quantity.RECEIVED_MS: 10**13,
    Quantity.BYTES: 10**14,
    Quantity.PACKETS: 10**12,
    Quantity.EPOCHS: 10**9,
}
"""More than anybody has in a period: 300 years, 100 TB (300 Mbit/s for a month), their packets and keys.

What that much would cost has to be an amount of money; else a slip of the pen stands in every bill.
"""


def version_of(currency: str, terms: Terms, from_ms: int, until_ms: int | None = None) -> TariffVersion:
    """Return the version of a tariff that terms describe; raises UsageError for what no tariff has."""
    version = TariffVersion(
        currency=currency,
        valid_from_ms=from_ms,
        valid_until_ms=until_ms,
        prices=tuple(_price(each) for each in terms.prices),
        minimum_micro=terms.minimum_micro,
        cap_micro=terms.cap_micro,
        tax_ppm=terms.tax_ppm,
    )
    for price in version.prices:
        _check(price)
    return version


def terms_of(version: TariffVersion) -> Terms:
    """Return the terms of a version: those that `version_of` makes it of."""
    return Terms(
        prices=[_price_terms(price) for price in version.prices],
        minimum_micro=version.minimum_micro,
        cap_micro=version.cap_micro,
        tax_ppm=version.tax_ppm,
    )


def encode_terms(terms: Terms) -> str:
    """Return terms as the database keeps them."""
    return encode(terms).decode()


def decode_terms(text: str) -> Terms:
    """Read terms from the database; raises LocalError if they are none."""
    try:
        return decode(text.encode(), Terms)
    except FormatError as error:
        raise LocalError(f"the database holds a tariff that nobody can read: {error}") from error


def _price(terms: PriceTerms) -> Price:
    return Price(
        name=terms.name,
        quantity=Quantity(terms.quantity),
        steps=tuple(Step(each.price_micro, each.per, each.up_to) for each in terms.steps),
        mode=Mode(terms.mode),
        free=terms.free,
    )


def _price_terms(price: Price) -> PriceTerms:
    return PriceTerms(
        name=price.name,
        quantity=price.quantity.value,
        steps=[
            StepTerms(price_micro=each.price_micro, per=each.per, up_to=each.up_to) for each in price.steps
        ],
        mode=price.mode.value,
        free=price.free,
    )


def _check(price: Price) -> None:
    """Raise UsageError for a price that no invoice could bear."""
    if price.name in RESERVED:
        raise UsageError(f"a price is not called {price.name!r}: a line of every invoice has that name")
    if not is_line(price.name) or price.name != price.name.strip():
        raise UsageError(f"price {price.name!r}: its name is one line, without spaces around it")
    likely = UNITS_LIKELY_MAX[price.quantity]
    for step in price.steps:
        if step.price_micro * likely > AMOUNT_MICRO_MAX * step.per:
            raise UsageError(
                f"price {price.name!r}: so much for each of its units is more money than there is"
            )
