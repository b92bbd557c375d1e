"""Owns what a measurement of the escrow stands on: a seller, a price class with its key, a device.

All of it is real but for the way of the money: openings are asked of the private key, without a server.
"""

from dataclasses import dataclass
from pathlib import Path

from sealcast.client.agent import AgentClient
from sealcast.core.ports import NS_PER_MS, Clock, Random
from sealcast.core.secret import Secret
from sealcast.device.vault import Credential, save_vault
from sealcast.keys.rsakem import PUBLIC_EXPONENT, RsaPublic
from sealcast.messages import jose
from sealcast.messages.encoding import b64url_encode, decode, encode
from sealcast.messages.escrow import TYP_ESCROW_KEY, KeyDocument, OrderOpenRequest
from sealcast.messages.jwk import new_sealing_pair, new_signing_pair
from sealcast.messages.package import PACKAGE_ID_BYTES, PackageEscrow
from sealcast.messages.requests import JTI_BYTES, Role
from sealcast.sealpack.newfile import NewFile
from sealcast.sealpack.packing import Seller, Terms, content_size, draft, write_package
from sealcast.sealpack.reading import PackageFile
from sealcast.server.escrow.blinding import open_blinded, read_blinded
from sealcast.server.escrow.private import SoftKey, make_key
from sealcast.server.escrow.state import create_escrow_state
from sealcast.server.issuing import Issuer
from sealcast.server.state import create_server_state, load_server_state

OPERATOR, SELLER, DEVICE, ESCROW = "bench", "shop", "tv", "escrow"
URL = "https://127.0.0.1:9"
"""Nobody is asked there."""

HOSTS = ("127.0.0.1",)
DAYS = 1


@dataclass(frozen=True, slots=True)
class Key:
    """A price class's key, both halves."""

    modulus: int
    private: SoftKey

    @property
    def public(self) -> RsaPublic:
        """The public half."""
        return RsaPublic(self.modulus)

    def open(self, blinded: bytes, random: Random) -> bytes:
        """Open as an escrow does, checks and all."""
        return open_blinded(self.private, self.modulus, read_blinded(blinded, self.modulus), random)


def new_key(bits: int) -> Key:
    """Return a fresh key; about a second."""
    made = make_key(bits)
    return Key(made.modulus, SoftKey(Secret(made.secret)))


class Shop:
    """An operator's CA, its seller, its escrow's key, and a device's vault, in a folder."""

    def __init__(self, folder: Path, clock: Clock, random: Random, key: Key) -> None:
        """Make all of it; a tenth of a second."""
        self._random, self._clock, self.key = random, clock, key
        operator = create_server_state(
            folder / "keyserver",
            operator_name=OPERATOR,
            hosts=HOSTS,
            urls=(URL,),
            random=random,
            wall_ns=clock.wall_ns(),
        )
        self._ca_pem = operator.ca_pem
        state = load_server_state(folder / "keyserver")
        self._issuer = Issuer(state.issuer, state.operator, random, days=DAYS)
        seller = self._credential(operator, "seller", SELLER)
        self.vault = folder / f"{DEVICE}.vault"
        save_vault(self.vault, self._credential(operator, "device", DEVICE), random)
        if seller.certificates is None:
            raise AssertionError("certified just now")
        self._seller = Seller(SELLER, state.operator, seller.certificates, seller.signing, self._ca_pem)
        self._escrow = self._certified_key(folder)

    def pack(self, source: Path, target: Path) -> None:
        """Pack a file for the escrow."""
        terms = Terms(source.name, source.name, "application/octet-stream", (self._escrow,), 1)
        made = draft(terms, content_size(source), self._seller, self._random, self._wall_ms())
        with NewFile(target) as new:
            write_package(made, source, new)
            new.keep()

    def buy(self, agent: AgentClient, package: Path) -> None:
        """Have the device agent open a package from now on."""
        with PackageFile(package) as file:
            token = file.believe(self._ca_pem).token
        order = b64url_encode(self._random.bytes(PACKAGE_ID_BYTES))
        jti = b64url_encode(self._random.bytes(JTI_BYTES))
        blinded = agent.blind(token, 1, order, jti=jti)
        asked = decode(jose.unverified_payload(blinded.request), OrderOpenRequest)
        agent.unblind(order, 1, self.key.open(asked.blinded, self._random))

    def _credential(self, operator: Credential, role: Role, name: str) -> Credential:
        signing, kek = new_signing_pair(self._random), new_sealing_pair(self._random)
        issued = self._issuer.certify(
            id=name,
            role=role,
            signing=signing.public(),
            kek=kek.public(),
            wall_ms=self._wall_ms(),
            is_identified=True,
        )
        return Credential(
            role=role,
            id=name,
            operator=operator.operator,
            signing=signing,
            kek=kek,
            ca_pem=operator.ca_pem,
            servers=operator.servers,
            server_key=operator.server_key,
            server_kek=operator.server_kek,
            certificates=issued.certificates,
        )

    def _certified_key(self, folder: Path) -> PackageEscrow:
        """Return the key as packages have it, certified by an escrow of this operator."""
        state = create_escrow_state(
            folder / "escrow",
            folder / "keyserver",
            id=ESCROW,
            hosts=HOSTS,
            urls=(URL,),
            random=self._random,
            wall_ns=self._clock.wall_ns(),
        )
        if state.escrow is None:
            raise AssertionError("made just now")
        document = KeyDocument(
            version=1,
            escrow=ESCROW,
            operator=state.operator,
            key=self.key.public.key_id,
            modulus=self.key.public.pack(self.key.modulus),
            exponent=PUBLIC_EXPONENT,
            seller=SELLER,
            price_class="bench",
            price_micro=1_000_000,
            currency="EUR",
            servers=[URL],
            created_at_ms=self._wall_ms(),
        )
        signed = jose.sign(encode(document), state.signing, kid=ESCROW, typ=TYP_ESCROW_KEY)
        return PackageEscrow(key=signed, certificate=state.escrow.certificate)

    def _wall_ms(self) -> int:
        return self._clock.wall_ns() // NS_PER_MS
