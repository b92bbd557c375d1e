"""Owns tariffs of every shape, for tests that take any."""

from hypothesis import strategies as st

from sealcast.billing.tariffs import Mode, Price, Quantity, Step, TariffVersion

COUNTED = [each for each in Quantity if each is not Quantity.PERIODS]
AMOUNTS = st.integers(0, 10**4)


@st.composite
def prices(draw: st.DrawFn, name: str) -> Price:
    """Return a price that is none too high."""
    if draw(st.booleans()):
        return Price(name, Quantity.PERIODS, (Step(draw(AMOUNTS)),))
    limits = sorted(draw(st.sets(st.integers(1, 10**9), max_size=4)))
    steps = tuple(Step(draw(AMOUNTS), draw(st.integers(1, 10**9)), limit) for limit in [*limits, None])
    mode, free = draw(st.sampled_from(Mode)), draw(st.integers(0, 10**9))
    return Price(name, draw(st.sampled_from(COUNTED)), steps, mode, free)


@st.composite
def versions(draw: st.DrawFn) -> TariffVersion:
    """Return a version of a tariff."""
    cap = draw(st.none() | AMOUNTS)
    return TariffVersion(
        currency=draw(st.sampled_from(["EUR", "JPY", "KWD"])),
        valid_from_ms=draw(st.integers(0, 10**12)),
        valid_until_ms=draw(st.none() | st.integers(10**12 + 1, 10**13)),
        prices=tuple(draw(prices(f"price {n}")) for n in range(draw(st.integers(1, 4)))),
        minimum_micro=draw(st.integers(0, 10**4 if cap is None else cap)),
        cap_micro=cap,
        tax_ppm=draw(st.integers(0, 1_000_000)),
    )
