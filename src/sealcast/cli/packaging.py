"""Owns what the commands of `sealcast package` do: the seller's vault, files in and out, what is told.

Imported by commands when they run, not for their help.
"""

import contextlib
import mimetypes
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import typer

from sealcast.cli.given import given_of
from sealcast.cli.passphrases import passphrase_source, pin_source
from sealcast.cli.progress import progress_bar
from sealcast.core.errors import FormatError, RemoteError, UsageError
from sealcast.core.ports import NS_PER_MS
from sealcast.device.chains import read_party
from sealcast.device.files import read_private, write_private
from sealcast.device.holder import open_with_keys
from sealcast.device.token import PartyKeys
from sealcast.device.vault import open_vault
from sealcast.ledger.money import format_micro
from sealcast.messages.encoding import decode
from sealcast.messages.enrolment import Certificates
from sealcast.messages.escrow import EscrowKeyRow, KeyDocument, LeadKey
from sealcast.messages.jose import unverified_payload
from sealcast.messages.package import PackageEscrow
from sealcast.sealpack.header import check_is_whole, check_one_order
from sealcast.sealpack.licence import make_licence, open_content_key, seal_content_key
from sealcast.sealpack.newfile import NewFile
from sealcast.sealpack.packing import Seller, Terms, content_size, draft, write_package
from sealcast.sealpack.reading import PackageFile
from sealcast.sealpack.workers import Progress
from sealcast.transport.system import SystemClock, SystemRandom

PACKAGE_SUFFIX, KEY_SUFFIX = ".sealpack", ".sealkey"
OTHER_MEDIA_TYPE = "application/octet-stream"
FILE_BYTES_MAX = 256 * 1024
"""Key files, certificates and CAs have some kilobytes."""

ORDER = re.compile(r"[A-Za-z0-9_-]{22}")


@dataclass(frozen=True, slots=True)
class OpenSeller:
    """A seller that packs, and the key that its content keys are kept under."""

    seller: Seller
    keys: PartyKeys


@dataclass(frozen=True, slots=True)
class Order:
    """What `pack` is asked for."""

    source: Path
    target: Path
    escrows: Sequence[Path]
    title: str | None
    media_type: str | None
    threshold: int | None
    is_licensed: bool
    is_synced: bool


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    """What `pack` made; `key_file` where licences need it."""

    package: str
    file: str
    title: str
    bytes: int
    chunks: int
    escrows: list[str]
    threshold: int
    key_file: str | None


class SeenEscrow(msgspec.Struct, frozen=True, kw_only=True):
    """An escrow as a package names it; the price is that of the escrow's record, told for people."""

    escrow: str
    key: str
    bits: int
    price_class: str
    price_micro: int
    currency: str
    servers: list[str]


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a package says; `is_verified`: the operator's CA vouches for it."""

    is_verified: bool
    package: str
    title: str
    name: str
    media_type: str
    bytes: int
    chunks: int
    file_bytes: int
    seller: str
    operator: str
    created_at: str
    needs_licence: bool
    threshold: int
    shares: int
    escrows: list[SeenEscrow]
    root: str


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` found whole."""

    is_verified: bool
    package: str
    seller: str
    bytes: int
    chunks: int


class Licensed(msgspec.Struct, frozen=True, kw_only=True):
    """The licence that was made."""

    file: str
    package: str
    order: str
    device: str


def open_seller(context: typer.Context, path: str | None) -> OpenSeller:
    """Open the vault of a seller with certificates; raises UsageError with what to do."""
    if path is None:
        raise UsageError(
            "no credential of a seller is given: name its vault with --credential; the operator invites"
            " sellers with: sealcast registry invite --role seller"
        )
    given = given_of(context)
    vault = open_with_keys(Path(path), passphrase_source(given), pin_source(given))
    found = vault.credential
    if found.role != "seller":
        raise UsageError(f"{path} belongs to a {found.role}, and only sellers pack")
    if found.certificates is None:
        raise UsageError(f"{path} has no certificates, and buyers know a seller by nothing else")
    keys = vault.keys or PartyKeys(found.signing, found.kek)
    seller = Seller(found.id, found.operator, found.certificates, keys.signing, found.ca_pem)
    return OpenSeller(seller, keys)


def ca_of(context: typer.Context, ca: Path | None, vault: str | None) -> str | None:
    """Return the CA certificate in PEM of a file or a vault; None where neither is named."""
    if ca is not None and vault is not None:
        raise UsageError("give either --ca or --credential")
    if ca is not None:
        return _small(ca).decode(errors="replace")
    if vault is None:
        return None
    return open_vault(
        Path(vault), passphrase_source(given_of(context)), allow_destroyed=True
    ).credential.ca_pem


def pack(who: OpenSeller, order: Order) -> Packed:
    """Make a package, and keep its content key where licences need it; raises UsageError and RemoteError."""
    size = content_size(order.source)
    count = len(order.escrows)
    threshold = order.threshold or count + order.is_licensed
    terms = Terms(
        title=order.title or order.source.stem or order.source.name,
        name=order.source.name,
        media_type=order.media_type or mimetypes.guess_type(order.source.name)[0] or OTHER_MEDIA_TYPE,
        escrows=tuple(_escrow_in(path) for path in order.escrows),
        threshold=threshold,
        is_licensed=order.is_licensed,
    )
    try:
        made = draft(terms, size, who.seller, SystemRandom(), SystemClock().wall_ns() // NS_PER_MS)
    except RemoteError as error:
        raise UsageError(f"no buyer would take this package: {error}") from error
    try:
        check_one_order(made.checked)
    except FormatError as error:
        raise UsageError(f"{error}; nothing was packed") from error
    header, key_file = made.header, order.target.with_suffix(KEY_SUFFIX)
    with NewFile(order.target) as file:
        with _bar(f"Packing {order.source.name}", made.checked.layout.groups) as progress:
            write_package(made, order.source, file, progress)
        if order.is_licensed:
            sealed = seal_content_key(made.content_key, header.id, who.keys.kek.public(), who.seller.id)
            write_private(key_file, sealed.encode() + b"\n")
        try:
            file.keep(is_synced=order.is_synced)
        except UsageError:
            if order.is_licensed:
                key_file.unlink(missing_ok=True)
            raise
    return Packed(
        package=header.id,
        file=str(order.target),
        title=header.title,
        bytes=size,
        chunks=made.checked.layout.chunks,
        escrows=[key.id for key in made.checked.keys],
        threshold=threshold,
        key_file=str(key_file) if order.is_licensed else None,
    )


def lead_in(path: Path) -> LeadKey:
    """Return the key in an escrow's file as one that further escrows' keys go with; raises UsageError."""
    try:
        document = decode(unverified_payload(_escrow_in(path).key), KeyDocument)
    except FormatError as error:
        raise UsageError(f"{path} is not the file of an escrow's key: {error}") from error
    if document.upon is not None:
        raise UsageError(f"the key in {path} takes no orders itself: name that of {document.upon.escrow}")
    return LeadKey(escrow=document.escrow, key=document.key)


def inspect(path: Path, ca_pem: str | None) -> Seen:
    """Return what a package says; raises as `PackageFile`, AuthenticationError if the CA does not vouch."""
    with PackageFile(path) as package:
        header, layout = package.peek, package.layout
        _check(package, ca_pem)
    escrows = [
        SeenEscrow(
            escrow=document.escrow,
            key=document.key,
            bits=int.from_bytes(document.modulus, "big").bit_length(),
            price_class=document.price_class,
            price_micro=document.price_micro,
            currency=document.currency,
            servers=document.servers,
        )
        for document in (decode(unverified_payload(each.key), KeyDocument) for each in header.escrows)
    ]
    return Seen(
        is_verified=ca_pem is not None,
        package=header.id,
        title=header.title,
        name=header.name,
        media_type=header.media_type,
        bytes=header.size,
        chunks=layout.chunks,
        file_bytes=layout.total,
        seller=header.seller,
        operator=header.operator,
        created_at=_instant(header.created_at_ms),
        needs_licence=header.needs_licence,
        threshold=header.threshold,
        shares=len(header.parts) or len(escrows) + 1,
        escrows=escrows,
        root=header.root.hex(),
    )


def described(seen: Seen) -> Iterator[tuple[str, str]]:
    """Yield what is told of a package, line by line: name and value."""
    yield "title", seen.title
    yield "content", f"{seen.name}, {seen.media_type}, {seen.bytes:,} bytes in {seen.chunks:,} chunks"
    vouched = "the operator's CA vouches for it" if seen.is_verified else "NOT VERIFIED: name a CA with --ca"
    yield "seller", f"{seen.seller} of {seen.operator} ({vouched})"
    yield "made", seen.created_at
    yield "package", seen.package
    for place, each in enumerate(seen.escrows):
        money = ", which holds the money" if place == 0 and len(seen.escrows) > 1 else ""
        price = f"{format_micro(each.price_micro)} {each.currency} ({each.price_class})"
        yield "escrow", _printable(f"{each.escrow} at {', '.join(each.servers)}: {price}{money}")
    if seen.needs_licence:
        yield "opens", f"with a licence for each order: {seen.threshold} of {seen.shares} shares"
    elif seen.shares > 1:
        yield "opens", f"with {seen.threshold} of {seen.shares} escrows"


def verify(path: Path, ca_pem: str | None) -> Verified:
    """Check every chunk of a package; raises AuthenticationError naming the first that is wrong."""
    with PackageFile(path) as package:
        _check(package, ca_pem)
        with _bar(f"Verifying {path.name}", package.layout.groups) as progress:
            package.verify(package.peek, progress)
        header = package.peek
    return Verified(
        is_verified=ca_pem is not None,
        package=header.id,
        seller=header.seller,
        bytes=header.size,
        chunks=package.layout.chunks,
    )


def licence(
    who: OpenSeller, path: Path, *, order: str | None, device: Path, key: Path, target: Path | None
) -> Licensed:
    """Make a licence for an order of a device; raises UsageError and RemoteError with what does not fit."""
    wanted = _wanted_in(device)
    if order is None and wanted.order is None:
        raise UsageError(f"{device} names no order: give it with --order")
    if order is not None and wanted.order not in {None, order}:
        raise UsageError(f"{device} is for the order {wanted.order}, not for {order}")
    order = order or wanted.order or ""
    if not ORDER.fullmatch(order):
        raise UsageError(f"{order!r} is no order: those have 22 characters, as `sealcast order list` shows")
    with PackageFile(path) as package:
        checked = package.believe(who.seller.ca_pem)
    if checked.seller.id != who.seller.id:
        raise UsageError(f"{path} is a package of {checked.seller.id}, and you are {who.seller.id}")
    if not checked.header.needs_licence:
        raise UsageError(f"{path} has its shares in itself: it was packed without --licensed")
    if wanted.package not in {None, checked.header.id}:
        raise UsageError(f"{device} is for the package {wanted.package}, and {path} is {checked.header.id}")
    buyer = read_party(wanted.certificates, who.seller.ca_pem)
    content_key = open_content_key(read_private(key).strip(), checked.header.id, who.keys.kek)
    token = make_licence(
        checked,
        content_key,
        buyer,
        order=order,
        signing=who.seller.signing,
        random=SystemRandom(),
        now_ms=SystemClock().wall_ns() // NS_PER_MS,
    )
    target = target or path.with_name(f"{path.stem}-{order}.licence")
    with NewFile(target) as file:
        file.write_at(token.encode() + b"\n", 0)
        file.keep()
    return Licensed(file=str(target), package=checked.header.id, order=order, device=buyer.id)


def _check(package: PackageFile, ca_pem: str | None) -> None:
    """Check who signed, or without a CA only that the header is whole; raises RemoteError."""
    if ca_pem is None:
        check_is_whole(package.token)
    else:
        package.believe(ca_pem)


class _Wanted(msgspec.Struct, frozen=True):
    """What a buyer wrote for a licence, or another message that has a device's certificates."""

    certificates: Certificates
    order: str | None = None
    package: str | None = None


def _wanted_in(path: Path) -> _Wanted:
    data = _small(path)
    with contextlib.suppress(FormatError):
        return _Wanted(decode(data, Certificates))
    try:
        return decode(data, _Wanted)
    except FormatError as error:
        raise UsageError(
            f"{path} does not hold a device's certificates: signing, kek and issuer, in JSON"
        ) from error


def _escrow_in(path: Path) -> PackageEscrow:
    try:
        row = decode(_small(path), EscrowKeyRow)
    except FormatError as error:
        raise UsageError(
            f"{path} is no file of an escrow's key; save one with: sealcast escrow key list --output FILE"
        ) from error
    if not row.is_open:
        raise UsageError(f"the key in {path} is closed: the escrow takes no new orders under it")
    return PackageEscrow(key=row.document, certificate=row.certificate)


def _small(path: Path) -> bytes:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise UsageError(f"{path} is too large for what it should be")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


@contextmanager
def _bar(text: str, groups: int) -> Iterator[Progress]:
    """Show how far it is; yields what is told how many groups are done."""
    with progress_bar() as bar:
        task = bar.add_task(text, total=groups)
        yield lambda done: bar.update(task, completed=done)


def _instant(at_ms: int) -> str:
    try:
        return datetime.fromtimestamp(at_ms / 1_000, tz=UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return str(at_ms)


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)
