"""Shows how channels stand in a configuration file, and how a mistake in them is named."""

from pathlib import Path

import pytest

from sealcast.config.load import load
from sealcast.core.errors import UsageError

GOOD = """\
[sender]
credential = "studio.vault"

[[send]]
channel = "news"
input = "news.ts"
loop = true

[[send]]
channel = "sport"
input = "udp://239.1.2.3:5000"
ttl = 4
restart = "always"

[[receive]]
channel = "rtp://239.255.1.1:5004"
output = "udp://127.0.0.1:1234"
reorder_ms = 50
"""


def write(folder: Path, text: str) -> Path:
    """Write a configuration file and return its path."""
    path = folder / "channels.toml"
    path.write_text(text)
    return path


def test_channels_are_read(tmp_path: Path) -> None:
    """Each table is a channel; paths count from the file's folder, addresses stay, defaults fill the rest."""
    channels = load(write(tmp_path, GOOD), {}).channels
    news, sport = (placed.table for placed in channels.send)
    assert (news.channel, news.input, news.loop) == ("news", str(tmp_path / "news.ts"), True)
    assert (news.ttl, news.restart) == (16, "on-failure")
    assert (sport.input, sport.ttl, sport.restart) == ("udp://239.1.2.3:5000", 4, "always")
    (gateway,) = (placed.table for placed in channels.receive)
    assert (gateway.output, gateway.reorder_ms, gateway.restart) == ("udp://127.0.0.1:1234", 50, "always")
    assert [placed.where for placed in channels.send] == [
        f"{tmp_path}/channels.toml:4: [[send]] news",
        f"{tmp_path}/channels.toml:9: [[send]] sport",
    ]


def test_a_file_without_channels(tmp_path: Path) -> None:
    """Most files name none."""
    channels = load(write(tmp_path, "[logging]\nlevel = 'info'\n"), {}).channels
    assert (channels.send, channels.receive) == ((), ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD.replace("ttl = 4", "ttl = 400"), ":12: [[send]] sport, ttl: Expected `int` <= 255"),
        (GOOD.replace("loop = true", "lop = true"), ":7: [[send]] news, lop: no such key; there are channel"),
        (GOOD.replace('input = "news.ts"\n', ""), ":4: [[send]] news: input is missing"),
        (GOOD.replace('channel = "sport"\n', ""), ":9: [[send]] number 2: channel is missing"),
        (GOOD.replace('"always"', '"often"'), ":13: [[send]] sport, restart: Invalid enum value 'often'"),
        (GOOD.replace("sport", "news"), ":9: [[send]] news: this channel stands twice"),
        (GOOD.replace('"news.ts"', '"~no-such-user/x"'), ":6: [[send]] news, input: no home folder is known"),
        (GOOD.replace("reorder_ms = 50", "reorder_ms = -1"), ", reorder_ms: Expected `int` >= 0"),
        ("[send]\nchannel = 'news'\n", ":1: write [[send]], in two brackets"),
        ("send = [1]\n", ":1: write [[send]], in two brackets"),
        ("[[sned]]\nchannel = 'news'\n", "no such section; there are keyserver"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, expected: str) -> None:
    """File, line, channel and key stand in front of what does not fit."""
    path = write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        load(path, {})
    assert str(caught.value).startswith(f"{path}:")
    assert expected in str(caught.value)
