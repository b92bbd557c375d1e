"""Shows a whole purchase, as people type it: packed, passed on by a stick, bought, played, paid out."""

import json
import shutil
from pathlib import Path

import pytest

from acceptance.marketplace import BUYER, SELLER, open_marketplace

CONTENT = bytes(range(256)) * 2_000 + b"the end"
EURO = 1_000_000


@pytest.mark.parametrize("holder", ["vault", "SoftHSM2"])
def test_from_a_file_to_money_in_the_sellers_account(tmp_path: Path, holder: str) -> None:
    """Four programs, one purchase: the content comes out bit for bit, each cent is where it should be."""
    with open_marketplace(tmp_path / "place", is_token=holder != "vault") as place:
        package = place.pack("A film", CONTENT)
        stick = tmp_path / "stick"
        stick.mkdir()
        carried = Path(shutil.copy(package, stick))
        stick.chmod(0o500)
        assert "are as its header says" in place.viewer.good("package", "verify", str(carried))
        unpaid = place.viewer.run("package", "unpack", str(carried), "--output", "early.bin")
        assert (unpaid.status, (place.viewer.folder / "early.bin").exists()) == (4, False), unpaid.err
        bought = json.loads(place.viewer.good("buy", str(carried), "--yes", "--json"))
        assert (bought["opens"], bought["state"]) == (True, "issued")
        place.viewer.good("package", "unpack", str(carried), "--output", "film.bin")
        assert (place.viewer.folder / "film.bin").read_bytes() == CONTENT
        played = place.viewer.good(
            "play", str(carried), "--output", "part", "--offset", "255", "--length", "3"
        )
        assert ((place.viewer.folder / "part").read_bytes(), played) == (b"\xff\x00\x01", "")
        before = place.balances()
        assert (before[f"buyer:{BUYER}"], before.get(f"seller:{SELLER}", 0)) == (15_010_000, 0)
        place.viewer.good("order", "confirm", bought["order"])
        after = place.balances()
        assert after[f"buyer:{BUYER}"] == 20 * EURO - 4_990_000
        assert after[f"seller:{SELLER}"] == 4_491_000
        shown = place.viewer.good("order", "show", bought["order"])
        assert all(kind in shown for kind in ("placed", "paid", "issued", "confirmed", "released"))


def test_passed_on_it_is_useless_until_the_next_one_pays(tmp_path: Path) -> None:
    """Another device with the same package opens nothing: what the first one has is its own."""
    with open_marketplace(tmp_path / "place") as place:
        package = place.pack("A film", CONTENT)
        place.viewer.good("buy", str(package), "--yes", "--confirm")
        other = place.folder / "other"
        shutil.copytree(
            place.viewer.folder, other, ignore=shutil.ignore_patterns("*.sock", "*.vault", "*.key")
        )
        line = place.operator.good("registry", "invite", "--id", "tv-2").split()[-1]
        (other / "sealcast.toml").unlink()
        neighbour = type(place.viewer)(other, SEALCAST_AGENT=str(other / "agent.sock"))
        neighbour.good("enrol", line)
        with neighbour.running("device", "serve") as agent:
            assert agent.stdout is not None
            assert "tv-2" in agent.stdout.readline()
            refused = neighbour.run("package", "unpack", str(package), "--output", "film.bin")
            assert refused.status == 4, refused.err
            assert not (other / "film.bin").exists()
            unknown = neighbour.run("buy", str(package), "--yes")
            assert unknown.status == 4
            assert "identified" in unknown.complaint
