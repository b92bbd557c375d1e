"""Shows that the escrow's measurement measures what it says: the content comes out, and figures are there."""

import json
from pathlib import Path

import pytest

from sealcast.bench import escrow
from sealcast.bench.escrow_shop import new_key
from sealcast.cli.main import run
from sealcast.core.errors import LocalError
from sealcast.transport.system import SystemRandom


def test_all_figures_in_one_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A small file is packed, bought, and unpacked by an agent; each figure is above 0, and nothing stays."""
    assert run(["bench", "escrow", "--content-mb", "2", "--dir", str(tmp_path), "--json"]) == 0
    figures = json.loads(capfd.readouterr().out)
    assert figures.pop("key_bits") == 3_072
    assert all(value > 0 for value in figures.values()), figures
    assert {"blind_per_s", "pack_ratio_cp", "unpack_mb_per_s"} <= set(figures)
    assert not list(tmp_path.iterdir())


def test_content_that_comes_out_as_something_else_is_no_figure(tmp_path: Path) -> None:
    """An agent that gave other bytes would have been found."""
    source = tmp_path / "content"
    source.write_bytes(b"as it went in")

    def forge(sink: int, _: int, length: int) -> int:
        with open(sink, "wb", closefd=False) as file:
            return file.write(b"x" * length)

    with pytest.raises(LocalError, match="something else"):
        escrow._check_end(forge, source, 13)


def test_an_opening_is_the_power_that_it_should_be() -> None:
    """What the measured key gives, to the public exponent, is what was asked for."""
    key = new_key(3_072)
    asked = SystemRandom().below(key.modulus)
    opened = int.from_bytes(key.open(key.public.pack(asked), SystemRandom()), "big")
    assert pow(opened, 65_537, key.modulus) == asked
