"""Shows how a seller packs, looks, checks and licences, and what each mistake is told."""

import json
import signal
from pathlib import Path

import msgspec
import pytest

from cli.terminal import Terminal, Typist
from lab.hosts import wait_until
from sealcast.core.secret import Secret
from sealcast.device.vault import Credential, load_vault, save_vault
from sealcast.messages.encoding import encode
from sealcast.messages.escrow import EscrowKeyRow, LeadKey
from sealcast.messages.jwk import new_sealing_pair, new_signing_pair
from sealcast.sealpack.chunks import ChunkCipher
from sealcast.sealpack.header import CheckedHeader
from sealcast.sealpack.licence import read_licence
from sealcast.sealpack.reading import ContentReader, PackageFile
from sealcast.sealpack.sharing import CheckedPart, gather, open_device_share
from sealpack.makers import OPERATOR, RANDOM, Party, escrow, opened, operator, seller

CONTENT = bytes(range(256)) * 1_000
ORDER = "A" * 22
CA = operator().ca_pem


def save(folder: Path, name: str, party: Party) -> None:
    """Save the vault of a party."""
    credential = Credential(
        role=party.certified.role,  # type: ignore[arg-type]
        id=party.certified.id,
        operator=OPERATOR,
        signing=party.signing,
        kek=party.kek,
        ca_pem=CA,
        servers=["https://keys.example:8443"],
        server_key=new_signing_pair(RANDOM).public(),
        server_kek=new_sealing_pair(RANDOM).public(),
        certificates=party.certificates,
    )
    save_vault(folder / f"{name}.vault", credential, RANDOM)


def key_file(
    folder: Path, number: int, seller_id: str = "studio", *, is_open: bool = True, upon: int | None = None
) -> None:
    """Save an escrow's key as `escrow key list --output` does, one that goes with that of `upon`."""
    lead = None if upon is None else LeadKey(escrow=escrow(upon).id, key=escrow(upon).public.key_id)
    packed = escrow(number).packed(seller=seller_id, upon=lead)
    row = EscrowKeyRow(
        key=escrow(number).public.key_id,
        seller=seller_id,
        price_class="film",
        price_micro=4_990_000,
        currency="EUR",
        bits=3_072,
        is_open=is_open,
        orders=0,
        document=packed.key,
        certificate=packed.certificate,
    )
    name = f"{seller_id}-{number}{'' if is_open else '-closed'}{'' if upon is None else '-upon'}"
    (folder / f"{name}.escrow").write_bytes(encode(row))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """Return a terminal in a seller's folder: its vault, keys of escrows, a device's certificates, a film."""
    folder = tmp_path_factory.mktemp("seller")
    device = operator().party("TV-0001", "device")
    save(folder, "studio", seller())
    save(folder, "tv", device)
    for number in (0, 1):
        key_file(folder, number)
    for number in (1, 2):
        key_file(folder, number, upon=0)
    key_file(folder, 1, "another")
    key_file(folder, 0, is_open=False)
    (folder / "tv.json").write_bytes(encode(device.certificates))
    (folder / "order.json").write_bytes(
        msgspec.json.encode({"order": ORDER, "certificates": device.certificates})
    )
    (folder / "other.json").write_bytes(
        msgspec.json.encode({"package": "other", "order": ORDER, "certificates": device.certificates})
    )
    (folder / "ca.pem").write_text(CA)
    (folder / "other-ca.pem").write_text(operator("another").ca_pem)
    (folder / "film.mp4").write_bytes(CONTENT)
    (folder / "no.escrow").write_text("{}")
    terminal = Terminal(folder)
    del terminal.environment["SEALCAST_CONFIG"]
    terminal.good("package", "pack", *usual("usual"))
    terminal.good("package", "pack", *usual("licensed", "--licensed"))
    return terminal


def usual(name: str, *more: str) -> tuple[str, ...]:
    """Return the arguments of a package for one escrow."""
    given = ("film.mp4", "--escrow", "studio-0.escrow", "--credential", "studio.vault")
    return (*given, "--output", f"{name}.sealpack", *more)


def content_of(path: Path, key: Secret, header: CheckedHeader) -> bytes:
    """Return a package's content."""
    with PackageFile(path) as package:
        reader = ContentReader(package, header, ChunkCipher(key, header.package_id))
        return reader.read(0, header.header.size)


def test_what_was_packed_opens(desk: Terminal) -> None:
    """The escrow's share of a package from the command line opens it, bit for bit."""
    path = desk.folder / "usual.sealpack"
    with PackageFile(path) as package:
        header = package.believe(CA)
    share = opened(header.parts[0], escrow(), header.package_id)
    key = gather(header.parts, header.package_id, 1, {1: share}).content_key
    assert key is not None
    assert content_of(path, key, header) == CONTENT
    assert (header.header.title, header.header.media_type) == ("film", "video/mp4")


def test_beside_the_file(desk: Terminal, type_at: Typist) -> None:
    """Without --output the package stands beside its file; what it was told is in it, and --json tells it."""
    other = desk.folder / "notes.txt"
    other.write_text("")
    done = type_at(
        desk, "package", "pack", "notes.txt", "--escrow", "studio-0.escrow",
        "--escrow", "studio-1-upon.escrow", "--threshold", "2", "--title", "All my notes",
        "--media-type", "text/x-notes", "--sync",
        "--credential", "studio.vault", "--json",
    )  # fmt: skip
    told = json.loads(done.out)
    assert (told["file"], told["bytes"], told["chunks"], told["key_file"]) == ("notes.sealpack", 0, 1, None)
    assert told["escrows"] == ["escrow-0", "escrow-1"]
    seen = json.loads(type_at(desk, "package", "inspect", "notes.sealpack", "--json").out)
    assert (seen["title"], seen["media_type"], seen["name"]) == ("All my notes", "text/x-notes", "notes.txt")
    assert (seen["threshold"], seen["shares"], seen["package"]) == (2, 2, told["package"])


def test_inspect_says_what_is_vouched_for(desk: Terminal, type_at: Typist) -> None:
    """With the CA, or a vault, the seller is vouched for; without, that is said."""
    for given in (("--ca", "ca.pem"), ("--credential", "tv.vault")):
        told = type_at(desk, "package", "inspect", "usual.sealpack", *given).out
        assert "studio of example (the operator's CA vouches for it)" in told
        assert "escrow-0 at https://escrow.example:8444: 4.99 EUR (film)" in told
    told = type_at(desk, "package", "inspect", "licensed.sealpack").out
    assert "NOT VERIFIED" in told
    assert "with a licence for each order: 2 of 2 shares" in told
    assert type_at(desk, "package", "inspect", "usual.sealpack", "--ca", "other-ca.pem").status == 1


def test_verify_finds_damage(desk: Terminal, type_at: Typist) -> None:
    """A whole package is told to be so; one bit of content or header is found, with no key and no CA."""
    told = type_at(desk, "package", "verify", "usual.sealpack", "--ca", "ca.pem").out
    assert "all 4 chunks are as studio packed it" in told
    assert "who signed it is not known" in type_at(desk, "package", "verify", "usual.sealpack").out
    data = bytearray((desk.folder / "usual.sealpack").read_bytes())
    for place, match in ((len(data) - 70_000, "chunk 2 is not the one"), (2_000, ""), (700, "not")):
        data[place] ^= 1
        (desk.folder / "damaged.sealpack").write_bytes(data)
        data[place] ^= 1
        done = type_at(desk, "package", "verify", "damaged.sealpack")
        assert done.status == 1
        assert match in done.complaint
    (desk.folder / "damaged.sealpack").write_bytes(data[:-1])
    assert "not all there" in type_at(desk, "package", "verify", "damaged.sealpack").complaint


def test_a_licence_opens_for_its_device(desk: Terminal, type_at: Typist) -> None:
    """From the kept content key: the device's share and the escrow's open the package."""
    with PackageFile(desk.folder / "licensed.sealpack") as package:
        header = package.believe(CA)
    for given, name in ((("tv.json", "--order", ORDER), "one"), (("order.json",), "two")):
        done = type_at(
            desk, "package", "licence", "licensed.sealpack", "--device", *given,
            "--output", f"{name}.licence", "--credential", "studio.vault",
        )  # fmt: skip
        assert f"for the order {ORDER} of TV-0001" in done.out
        token = (desk.folder / f"{name}.licence").read_text().strip()
        licence = read_licence(token, header, order=ORDER, device="TV-0001")
        kek = load_vault(desk.folder / "tv.vault").kek
        other: CheckedPart = licence.parts[1]
        shares = {
            1: open_device_share(licence.own, header.package_id, kek),
            2: opened(other, escrow(), header.package_id),
        }
        key = gather(licence.parts, header.package_id, 2, shares).content_key
        assert key is not None
        assert content_of(desk.folder / "licensed.sealpack", key, header) == CONTENT
    assert (desk.folder / "licensed.sealkey").stat().st_mode & 0o777 == 0o600


def test_without_output_a_licence_has_the_orders_name(desk: Terminal, type_at: Typist) -> None:
    """It stands beside the package."""
    done = type_at(
        desk, "package", "licence", "licensed.sealpack", "--order", ORDER, "--device", "tv.json",
        "--credential", "studio.vault", "--json",
    )  # fmt: skip
    assert json.loads(done.out)["file"] == f"licensed-{ORDER}.licence"
    assert (desk.folder / f"licensed-{ORDER}.licence").exists()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("pack", "film.mp4", "--escrow", "studio-0.escrow"), "name its vault with --credential"),
        (
            ("pack", "film.mp4", "--escrow", "studio-0.escrow", "--credential", "tv.vault"),
            "belongs to a device, and only sellers pack",
        ),
        (("pack", *usual("usual")), "never overwritten"),
        (("pack", "absent.mp4", *usual("x")[1:]), "cannot read absent.mp4"),
        (("pack", ".", *usual("x")[1:]), "is not a file"),
        (("pack", *usual("absent/x")), "No such file"),
        (("pack", *usual("x", "--threshold", "2")), "threshold of 2"),
        (("pack", *usual("x", "--escrow", "studio-1.escrow")), "does not go with that of escrow-0"),
        (
            ("pack", "film.mp4", "--escrow", "studio-1-upon.escrow", *usual("x")[3:]),
            "the first key, of the escrow escrow-1, takes no orders",
        ),
        (
            ("pack", *usual("x", "--escrow", "studio-1-upon.escrow", "--threshold", "1")),
            "one order would open two packages",
        ),
        (
            ("pack", *usual("x", "--escrow", "studio-1-upon.escrow", "--licensed", "--threshold", "2")),
            "one order would open two packages",
        ),
        (("pack", *usual("x", "--title", "a\x1b[31m")), "do not print"),
        (("pack", *usual("x", "--escrow", "studio-0.escrow")), "twice"),
        (("pack", *usual("x", "--escrow", "no.escrow")), "no file of an escrow's key"),
        (("pack", *usual("x", "--escrow", "film.mp4")), "no file of an escrow's key"),
        (("pack", *usual("x", "--escrow", "studio-0-closed.escrow")), "is closed"),
        (("pack", *usual("x", "--escrow", "another-1.escrow")), "for sales of another"),
        (("pack", *usual("licensed2", "--licensed", "--output", "licensed.new")), "licensed.sealkey exists"),
        (("inspect", "film.mp4"), "not a package"),
        (("inspect", "absent.sealpack"), "cannot read absent.sealpack"),
        (("verify", "usual.sealpack", "--ca", "ca.pem", "--credential", "tv.vault"), "either --ca or"),
        (("verify", "usual.sealpack", "--ca", "film.mp4"), "not a certificate"),
        (("licence", "usual.sealpack", "--order", ORDER, "--device", "tv.json"), "name its vault"),
    ],
)
def test_mistakes_of_packing(desk: Terminal, type_at: Typist, arguments: tuple[str, ...], match: str) -> None:
    """Each mistake is told in one line, and leaves nothing behind."""
    before = sorted(desk.folder.iterdir())
    done = type_at(desk, "package", *arguments)
    assert done.status in {1, 2}
    assert match in done.complaint
    assert sorted(desk.folder.iterdir()) == before


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"package": "usual.sealpack"}, "packed without --licensed"),
        ({"--order": "short"}, "is no order"),
        ({"--device": "order.json", "--order": "B" * 22}, f"is for the order {ORDER}, not for"),
        ({"--device": "other.json"}, "is for the package other, and licensed.sealpack is"),
        ({"--device": "film.mp4"}, "does not hold a device's certificates"),
        ({"--device": "absent"}, "cannot read absent"),
        ({"--key": "absent"}, "cannot read absent"),
        ({"--key": "studio.vault"}, "does not open"),
        ({"--credential": "tv.vault"}, "only sellers"),
    ],
)
def test_mistakes_of_licences(desk: Terminal, type_at: Typist, changed: dict[str, str], match: str) -> None:
    """A licence for something else, or without what it takes, is not made."""
    given = {
        "package": "licensed.sealpack",
        "--order": ORDER,
        "--device": "tv.json",
        "--credential": "studio.vault",
        "--output": "never.licence",
        **changed,
    }
    package = given.pop("package")
    done = type_at(desk, "package", "licence", package, *(word for pair in given.items() for word in pair))
    assert done.status in {1, 2}
    assert match in done.complaint
    assert not (desk.folder / "never.licence").exists()


def test_a_licence_takes_an_order(desk: Terminal, type_at: Typist) -> None:
    """Certificates alone name no order."""
    done = type_at(
        desk, "package", "licence", "licensed.sealpack", "--device", "tv.json", "--credential", "studio.vault"
    )
    assert (done.status, "names no order" in done.complaint) == (2, True)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)]
)
def test_interrupted_it_leaves_nothing(desk: Terminal, number: signal.Signals, status: int) -> None:
    """Whatever ends a packing in the middle, no part of a package is left."""
    with (desk.folder / "long.mp4").open("wb") as file:
        file.truncate(20 * 2**30)
    before = sorted(desk.folder.iterdir())
    given = ("long.mp4", "--escrow", "studio-0.escrow", "--credential", "studio.vault")
    with desk.running("package", "pack", *given) as process:
        wait_until(lambda: _is_writing(process.pid), "a file that is written", 20)
        process.send_signal(number)
        assert process.wait(60) == status
    assert sorted(desk.folder.iterdir()) == before


def _is_writing(pid: int) -> bool:
    """Whether a process has a file open that has no name, and something in it."""
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if path.readlink().name.endswith("(deleted)") and path.stat().st_size:
                return True
        except OSError:
            continue
    return False
