"""Shows where the content key never is: with the escrow, or in the memory of buyer and player."""

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.memory import forms, found_in_files, found_in_process
from faults.marketplace import Marketplace
from faults.nursery import Child, Forks
from sealcast.device.vault import load_vault
from sealcast.messages.encoding import decode
from sealcast.messages.escrow import EscrowKeyRow, OrderOpened
from sealcast.messages.package import PackageEscrow
from sealcast.sealpack.newfile import NewFile
from sealcast.sealpack.packing import Seller, Terms, draft, write_package
from sealcast.transport.system import SystemClock, SystemRandom

CONTENT = b"nothing that anybody else has " * 10_000


class Noted(SystemRandom):
    """Chance that notes what it gave: the test's knowledge of a sale's secrets."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[int] = []

    def below(self, limit: int) -> int:
        """Return a number, and remember it."""
        self.numbers.append(super().below(limit))
        return self.numbers[-1]


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    """Return the process that all programs are forked from."""
    made = Forks()
    yield made
    made.close()


def pack(place: Marketplace) -> tuple[Path, dict[str, bytes]]:
    """Pack as the seller does; return the package and its secrets: the content key, and z."""
    shop = place.place("shop")
    credential = load_vault(shop / "sealcast.vault")
    assert credential.certificates is not None
    seller = Seller(
        credential.id, credential.operator, credential.certificates, credential.signing, credential.ca_pem
    )
    key = decode((shop / "film.escrow").read_bytes(), EscrowKeyRow)
    source, target = shop / "film.bin", shop / "film.sealpack"
    source.write_bytes(CONTENT)
    escrow = PackageEscrow(key=key.document, certificate=key.certificate)
    terms = Terms("A film", "film.bin", "video/mp4", (escrow,), 1)
    chance = Noted()
    made = draft(terms, len(CONTENT), seller, chance, SystemClock().wall_ns() // 10**6)
    with NewFile(target) as new:
        write_package(made, source, new)
        new.keep()
    large = [number for number in chance.numbers if number.bit_length() > 3_000]
    assert len(large) == 1
    return target, {"K": made.content_key.reveal(), "z": large[0].to_bytes(384, "big")}


def player(place: Marketplace, package: Path) -> Child:
    """Start a player that serves content, and have it give all of it once."""
    playing = place.viewer.start("play", str(package), "--output", "http://127.0.0.1:0")
    playing.wait_for_line("A film: http://")
    with urllib.request.urlopen(playing.out.split()[-1]) as answer:  # noqa: S310 - on loopback
        assert answer.read() == CONTENT
    return playing


def test_neither_key_nor_z(tmp_path: Path, forks: Forks) -> None:
    """After a sale, marked secrets are looked for in every form; what should be there is found."""
    with Marketplace(tmp_path / "place", forks) as place:
        place.let_in()
        agent = place.serve_agent()
        place.trade()
        package, secrets = pack(place)
        buyer = place.viewer.start("buy", str(package), "--yes", "--json", holds=True)
        buyer.wait_for_line("{")
        assert json.loads(buyer.out)["opens"] is True
        playing = player(place, package)
        into = place.viewer.good("play", str(package), "--output", "film.out")
        assert (into, (place.place("viewer") / "film.out").read_bytes()) == ("", CONTENT)
        for secret in secrets.values():
            assert "bytes" in found_in_process(os.getpid(), secret)
            for child in (place.escrow, buyer, playing):
                assert found_in_process(child.pid, secret) == set(), child.out
            assert found_in_files(place.place("operator"), secret) == set()
            assert found_in_files(place.place("viewer"), secret) == set()
        # The control: what each of them works with is found by the same look.
        ((blinded, opened),) = place.rows("SELECT blinded, opened FROM escrow_openings")
        assert isinstance(blinded, bytes)
        assert isinstance(opened, bytes)
        assert found_in_process(place.escrow.pid, opened)
        assert found_in_process(buyer.pid, opened) or found_in_process(buyer.pid, blinded)
        assert found_in_files(place.place("operator"), opened)
        assert agent.is_alive()
        assert len(OrderOpened.__struct_fields__) == 3, "an answer that could hold more than m"


def test_a_secret_is_found_in_each_form() -> None:
    """The look itself: each form of a secret in this process's memory is found, and only then."""
    secret = SystemRandom().bytes(384)
    held = [form * 2 for form in forms(secret).values()]
    assert found_in_process(os.getpid(), secret) == set(forms(secret)), len(held)
