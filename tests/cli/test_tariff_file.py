"""Shows that a tariff's file says one tariff, and that what is written of a tariff is read as the same."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.some import versions
from sealcast.billing.tariffs import Mode, Price, Quantity, Step, TariffVersion
from sealcast.cli.tariff_file import FILE_BYTES_MAX, TariffFile, format_file, parse_file, read_file
from sealcast.core.errors import UsageError

FILE = """# A tariff; docs/billing.md says what everything means.
name = "basic"
currency = "EUR"
channels = ["news", "sport"]
from = "2026-03-01T00:00:00Z"
until = "2026-04-01T00:00:00.500Z"
tax = "7.7"
minimum = "5"
cap = "20.5"

[[prices]]
name = "Subscription"
price = "9.99 per period"

[[prices]]
name = "Data \\"night\\""
mode = "volume"
free = "5 GB"
steps = [
  { price = "0.1 per GB", up_to = "100 GB" },
  { price = "0.05 per 10 GiB" },
]

[[prices]]
name = "Zeit für alle"
price = "0.02 per 15 minutes subscribed"
"""
TARIFF = TariffFile(
    TariffVersion(
        currency="EUR",
        valid_from_ms=1_772_323_200_000,
        valid_until_ms=1_775_001_600_500,
        prices=(
            Price("Subscription", Quantity.PERIODS, (Step(9_990_000),)),
            Price(
                'Data "night"',
                Quantity.BYTES,
                (Step(100_000, 10**9, 10**11), Step(50_000, 10 << 30)),
                Mode.VOLUME,
                5 * 10**9,
            ),
            Price("Zeit für alle", Quantity.SUBSCRIBED_MS, (Step(20_000, 900_000),)),
        ),
        minimum_micro=5_000_000,
        cap_micro=20_500_000,
        tax_ppm=77_000,
    ),
    "basic",
    1_772_323_200_000,
    ["news", "sport"],
)


def test_a_file_is_a_tariff() -> None:
    """All that a file may say is read, and written in the same words."""
    assert parse_file(FILE) == TARIFF
    assert format_file(TARIFF) == FILE


def test_instants_may_stand_without_quotes(tmp_path: Path) -> None:
    """TOML has instants and dates of its own; a date is midnight UTC, and the rest may be left out."""
    path = tmp_path / "tariff.toml"
    path.write_text(
        'currency = "JPY"\nfrom = 2026-03-01T01:00:00+01:00\nuntil = 2026-04-01\n'
        '[[prices]]\nname = "A"\nprice = "1 per epoch"\n'
    )
    found = read_file(path)
    assert (found.name, found.channels, found.from_ms) == ("", [], 1_772_323_200_000)
    assert found.version.valid_until_ms == 1_775_001_600_000


HEAD = 'currency = "EUR"\n'
ONE = HEAD + '[[prices]]\nname = "A"\n'
STEP = '{price = "1 per GB", up_to = "5 GB"}'
NO_FILES = [
    ("currency = ", "not TOML"),
    ('name = "a"', "required field `currency`"),
    (HEAD + "prices = []", "1 to 32 prices"),
    (HEAD + "minimum = 5.0\nprices = []", "write amounts in quotes"),
    (HEAD + 'price = "1 per GB"\nprices = []', "unknown field `price`"),
    (HEAD + "from = 2026-03-01T00:00:00\nprices = []", "names no time zone"),
    (HEAD + 'from = "soon"\nprices = []', "not an instant"),
    (ONE, "say either price, or steps"),
    (ONE + f'price = "1 per GB"\nsteps = [{STEP}]', "either"),
    (ONE + f'steps = [{STEP}, {{price = "1 per epoch"}}]', "count the same"),
    (ONE + f"steps = [{STEP}]", "has no end"),
    (ONE + 'price = "-1 per GB"', "0 or more"),
    (ONE.replace("EUR", "EUX") + 'price = "1 per GB"', "no currency has the code"),
]


@pytest.mark.parametrize(("text", "why"), NO_FILES, ids=[why for _, why in NO_FILES])
def test_what_is_no_file(tmp_path: Path, text: str, why: str) -> None:
    """Each mistake is told in one line that names the file."""
    path = tmp_path / "tariff.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        read_file(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A file that is not there, is too long or is no text is told by name."""
    path = tmp_path / "tariff.toml"
    with pytest.raises(UsageError, match=r"cannot read .*No such file"):
        read_file(path)
    path.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="is not UTF-8"):
        read_file(path)
    path.write_bytes(bytes(FILE_BYTES_MAX + 1))
    with pytest.raises(UsageError, match="that is no tariff"):
        read_file(path)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(versions(), st.booleans())
def test_whatever_is_written_is_read(version: TariffVersion, is_given: bool) -> None:  # noqa: FBT001 - hypothesis
    """Any version of any tariff is written so that it is read as the same."""
    tariff = TariffFile(version, "x", version.valid_from_ms, ["news"] if is_given else [])
    assert parse_file(format_file(tariff)) == tariff
