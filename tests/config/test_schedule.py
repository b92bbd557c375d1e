"""Shows what a schedule file may say, and that each error names its line and key."""

import datetime as dt
from pathlib import Path

import pytest

from sealcast.config.schedule import read_schedule
from sealcast.core.errors import UsageError

ROW = '[[programme]]\nchannel = "news"\nstart = 20:00:00\ncontent = "x.ts"\n'


def read(folder: Path, text: str) -> object:
    """Write a file and read it."""
    path = folder / "week.toml"
    path.write_text(text)
    return read_schedule(path)


def complaint(folder: Path, text: str) -> str:
    """Return what is said of a file that is wrong, from its name on."""
    with pytest.raises(UsageError) as found:
        read(folder, text)
    return str(found.value).replace(f"{folder}/", "")


def test_all_keys(tmp_path: Path) -> None:
    """Everything that a programme may have, and what holds for all."""
    path = tmp_path / "week.toml"
    path.write_text(
        'zone = "Europe/Berlin"\nstay = "5m"\nttl = 3\ninterface = "lo"\n'
        + ROW
        + 'days = ["mon", "sun"]\nduration = "90m"\nlifetime = "20m"\nchange = "keep"\nwithout_key = "hold"\n'
        + 'overrun = "finish"\nloop = true\nrate = "5M"\n'
        + '[[programme]]\nchannel = "film"\nstart = 2026-11-23T20:00:00Z\ncontent = "udp://239.1.2.3:5000"\n'
    )
    schedule = read_schedule(path)
    one, other = schedule.programmes
    assert (schedule.stay_ms, schedule.head.ttl, schedule.channels) == (300_000, 3, ["news", "film"])
    assert (one.daily, one.days, one.duration_ms) == (dt.time(20), frozenset({0, 6}), 5_400_000)
    assert (one.lifetime_ms, one.change, one.without_key) == (1_200_000, "keep", "hold")
    assert (one.overrun, one.loop, one.rate, one.content) == ("finish", True, "5M", str(tmp_path / "x.ts"))
    assert other.once == dt.datetime(2026, 11, 23, 20, tzinfo=dt.UTC)
    assert other.content == "udp://239.1.2.3:5000"


def test_a_local_instant_is_one_of_the_zone(tmp_path: Path) -> None:
    """Without an offset it is by the clocks of the file's zone."""
    path = tmp_path / "week.toml"
    path.write_text('zone = "Europe/Berlin"\n' + ROW.replace("20:00:00", "2026-11-23T20:00:00"))
    (programme,) = read_schedule(path).programmes
    assert list(programme.starts_ms(0, 2**43)) == [1_795_460_400_000]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "week.toml: 0 programmes under [[programme]]"),
        ('zone = "Middle/Earth"\n' + ROW, "week.toml:1: zone: this machine knows no time zone"),
        ('stay = "soon"\n' + ROW, "week.toml:1: stay: not a duration"),
        ("colour = 1\n" + ROW, "week.toml:1: colour: no such key; there are zone"),
        (ROW + ROW.replace("20:00:00", '"8pm"'), "week.toml:7: [[programme]] news, start: write a time"),
        (ROW + 'change = "later"\n', "week.toml:5: [[programme]] news, change: "),
        (ROW + 'days = ["monday"]\n', "week.toml:5: [[programme]] news, days: give some of mon"),
        (ROW + 'duration = "25h"\n', "week.toml:5: [[programme]] news, duration: a programme lasts a day"),
        (
            ROW.replace("20:00:00", "2026-11-23T20:00:00") + 'days = ["mon"]\n',
            "week.toml:5: [[programme]] news, days: weekdays are for a time",
        ),
        (
            '[[programme]]\nchannel = "news"\nstart = 20:00:00\n',
            "week.toml:1: [[programme]] news: content is missing",
        ),
        ("[programme]\n", "week.toml: write [[programme]], in two brackets"),
        ("[[programme]\n", "week.toml: "),
    ],
)
def test_errors_name_line_and_key(tmp_path: Path, text: str, said: str) -> None:
    """One clear line for each mistake."""
    assert complaint(tmp_path, text).startswith(said)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """It is named."""
    with pytest.raises(UsageError, match=r"cannot read the schedule .*nowhere\.toml: No such file"):
        read_schedule(tmp_path / "nowhere.toml")
