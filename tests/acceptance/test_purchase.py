"""Shows a whole purchase, as people type it: packed, passed on by a stick, bought, played, paid out."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.marketplace import AGENT_LINE, BUYER, SELLER, Marketplace
from faults.nursery import Forks

CONTENT = bytes(range(256)) * 2_000 + b"the end"
EURO, PRICE, FEE = 1_000_000, 4_990_000, 499_000
REFUSED = 4


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    """Return the process that all programs are forked from."""
    made = Forks()
    yield made
    made.close()


@pytest.mark.parametrize("holder", ["vault", "SoftHSM2"])
def test_from_a_file_to_money_in_the_sellers_account(tmp_path: Path, forks: Forks, holder: str) -> None:
    """Four programs, one purchase: content comes out bit for bit, each cent is where it should be.

    Passed on, the package is useless until the next device's person is known and pays.
    """
    with Marketplace(tmp_path / "place", forks) as place:
        place.let_in(is_token=holder != "vault")
        place.serve_agent()
        place.trade()
        viewer, folder = place.viewer, place.place("viewer")
        carried = stick(tmp_path / "stick", place.pack("A film", CONTENT))
        assert "are as its header says" in viewer.good("package", "verify", carried)
        early = viewer.start("package", "unpack", carried, "--output", "early.bin")
        assert (early.end(), (folder / "early.bin").exists()) == (REFUSED, False), early.err
        bought = json.loads(viewer.good("buy", carried, "--yes", "--json"))
        assert (bought["opens"], bought["state"]) == (True, "issued")
        viewer.good("package", "unpack", carried, "--output", "film.bin")
        assert (folder / "film.bin").read_bytes() == CONTENT
        viewer.good("play", carried, "--output", "part", "--offset", "255", "--length", "3")
        assert (folder / "part").read_bytes() == b"\xff\x00\x01"
        before = place.balances()
        assert before[f"buyer:{BUYER}"] == 20 * EURO - PRICE
        assert before.get(f"seller:{SELLER}", 0) == 0
        viewer.good("order", "confirm", bought["order"])
        after = place.balances()
        assert (after[f"buyer:{BUYER}"], after[f"seller:{SELLER}"]) == (20 * EURO - PRICE, PRICE - FEE)
        shown = viewer.good("order", "show", bought["order"])
        assert all(kind in shown for kind in ("placed", "paid", "issued", "confirmed", "released"))
        if holder == "vault":
            neighbour_opens_nothing(place, carried)


def neighbour_opens_nothing(place: Marketplace, carried: str) -> None:
    """Another device with the package and all that the first one's agent keeps opens nothing."""
    neighbour = place.person("neighbour")
    neighbour.good("enrol", place.invitation("tv-2"))
    kept = place.place("viewer") / "receiving"
    shutil.copytree(kept, place.place("neighbour") / "receiving", dirs_exist_ok=True)
    neighbour.start("device", "serve").wait_for_line(AGENT_LINE)
    refused = neighbour.start("package", "unpack", carried, "--output", "film.bin")
    assert refused.end() == REFUSED, refused.err
    assert not (place.place("neighbour") / "film.bin").exists()
    unknown = neighbour.start("buy", carried, "--yes")
    assert unknown.end() == REFUSED
    assert "has not identified tv-2" in unknown.err


def stick(folder: Path, package: Path) -> str:
    """Return a package as it is on a stick that nobody can write to."""
    folder.mkdir()
    carried = Path(shutil.copy(package, folder))
    carried.chmod(0o400)
    folder.chmod(0o500)
    return str(carried)
