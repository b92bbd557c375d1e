"""Owns how an escrow's state directory is made: that of a server, below the operator's CA.

It has the layout of a key server's (`server.state`), without keys of any CA; `escrow.json` says which escrow
it is, with the certificate of its signing key (O = operator, OU = escrow, CN = id), right under the CA.
"""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from sealcast.core.errors import UsageError
from sealcast.core.ports import Random
from sealcast.core.secret import Secret
from sealcast.device.chains import ESCROW_ROLE
from sealcast.device.files import write_private
from sealcast.messages import jose
from sealcast.messages.encoding import b64url_encode, encode
from sealcast.messages.jwk import Jwk, native_public_key, new_sealing_pair, new_signing_pair
from sealcast.messages.parties import ID_CHARS_MAX, is_id
from sealcast.server.certificates import (
    CA_DAYS,
    COMMON_NAME_CHARS_MAX,
    Issued,
    certificate_builder,
    key_usage,
    make_server_certificate,
    read_ca,
    same_certificate,
)
from sealcast.server.state import (
    CA_PEM,
    ESCROW,
    MASTER_KEY,
    MASTER_KEY_BYTES,
    NONCE_KEY_BYTES,
    OPERATORS,
    SERVER_VAULT,
    TLS_KEY,
    TLS_PEM,
    EscrowIdentity,
    ServerSecrets,
    ServerState,
    check_absent,
    load_server_state,
    make_directory,
    vault_key,
)
from sealcast.server.state_reception import ca_of, check_is_key_server


def create_escrow_state(
    directory: Path,
    key_server: Path,
    *,
    id: str,  # noqa: A002 - the field's name in every message
    hosts: tuple[str, ...],
    urls: tuple[str, ...],
    random: Random,
    wall_ns: int,
    own_ca: Issued | None = None,
) -> ServerState:
    """Make an escrow's state directory for the operator of the key server with this state directory.

    `hosts` are the names and addresses under which parties reach it. The key of the operator's CA signs its
    two certificates: that in the key server's directory, or `own_ca`. Administrators are the key server's.
    Raises UsageError if anything does not fit or exists; nothing is changed then.
    """
    operator = load_server_state(key_server)
    check_is_key_server(operator)
    _check_id(id, operator)
    ca = own_ca or ca_of(key_server)
    if not same_certificate(ca.certificate_pem, operator.ca_pem.encode()):
        raise UsageError(f"this is not the CA of {key_server / CA_PEM}, which every device pins")
    check_absent(directory)
    tls = make_server_certificate(ca, hosts, random, wall_ns)
    master, signing = Secret(random.bytes(MASTER_KEY_BYTES)), new_signing_pair(random)
    secrets = ServerSecrets(
        operator=operator.operator,
        urls=list(urls),
        signing=signing,
        kek=new_sealing_pair(random),
        nonce_key=random.bytes(NONCE_KEY_BYTES),
        issuer_pem=operator.issuer.certificate_pem.decode(),
        issuer_key="",
    )
    identity = EscrowIdentity(
        id=id,
        certificate=make_escrow_certificate(
            ca, operator.operator, id, signing, random=random, wall_ns=wall_ns
        ),
        key_servers=list(operator.urls),
    )
    vault = jose.seal_direct(encode(secrets), vault_key(master), typ=jose.TYP_VAULT)
    make_directory(directory)
    for name, data in (
        (MASTER_KEY, b64url_encode(master.reveal()).encode() + b"\n"),
        (SERVER_VAULT, vault.encode() + b"\n"),
        (CA_PEM, operator.ca_pem.encode()),
        (TLS_KEY, tls.key_pem),
        (TLS_PEM, tls.certificate_pem),
        (ESCROW, encode(identity) + b"\n"),
        *((f"{OPERATORS}/{each.id}.json", encode(each) + b"\n") for each in operator.operators),
    ):
        write_private(directory / name, data)
    return load_server_state(directory)


def make_escrow_certificate(
    ca: Issued,
    operator: str,
    id: str,  # noqa: A002 - the field's name in every message
    signing: Jwk,
    *,
    random: Random,
    wall_ns: int,
) -> str:
    """Return the certificate of an escrow's signing key, in PEM; it ends with its CA, or after ten years.

    What it signs stands in packages for years, so that it is not renewed as a server's certificate is.
    """
    parent = read_ca(ca)
    names = (
        (NameOID.ORGANIZATION_NAME, operator),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, ESCROW_ROLE),
        (NameOID.COMMON_NAME, id),
    )
    builder = (
        certificate_builder(
            x509.Name([x509.NameAttribute(*each) for each in names]),
            native_public_key(signing),
            random=random,
            wall_ns=wall_ns,
            days=CA_DAYS,
            not_after=parent.certificate.not_valid_after_utc,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage("digital_signature"), critical=True)
    )
    return parent.sign(builder).public_bytes(Encoding.PEM).decode()


def _check_id(name: str, operator: ServerState) -> None:
    """Raise UsageError for what cannot be an escrow's id: parties are told which escrow they deal with."""
    if not is_id(name) or len(name) > min(ID_CHARS_MAX, COMMON_NAME_CHARS_MAX):
        raise UsageError(
            f"an escrow's id has 1 to {COMMON_NAME_CHARS_MAX} printable ASCII characters, no spaces"
        )
    if name in {each.id for each in operator.operators}:
        raise UsageError(f"{name} is the id of an administrator; give the escrow another with --id")
