"""Owns making a party for somebody else: fresh keys, a vault, and what the key server is told of them.

Imported by commands when they run, not for their help.
"""

from pathlib import Path

from sealcast.cli import acting
from sealcast.cli.acting import Operator
from sealcast.core.errors import SealcastError
from sealcast.core.secret import Secret
from sealcast.device.newkeys import KeyKind, new_keys
from sealcast.device.vault import Credential, new_vault, remove_vault
from sealcast.messages import jose, operations
from sealcast.messages.answers import Done
from sealcast.messages.encoding import encode
from sealcast.messages.requests import RegisteredKeys, Role
from sealcast.transport.system import SystemRandom


def make_party(
    operator: Operator,
    id_: str,
    role: Role,
    *,
    channels: list[str],
    vault: Path,
    passphrase: Secret | None = None,
) -> Credential:
    """Make a party's keys and vault, and register it; no vault is left where that fails.

    A device has two symmetric secrets, everybody else two key pairs. `channels` as in RegistryAddRequest.
    """
    random = SystemRandom()
    signing, kek = new_keys(KeyKind.SYMMETRIC if role == "device" else KeyKind.ED25519, random)
    us = operator.credential
    party = Credential(
        role=role,
        id=id_,
        operator=us.operator,
        signing=signing,
        kek=kek,
        ca_pem=us.ca_pem,
        servers=us.servers,
        server_key=us.server_key,
        server_kek=us.server_kek,
    )
    new_vault(vault, party, random, passphrase=passphrase)
    try:
        _register(operator, party, channels)
    except SealcastError:
        remove_vault(vault)
        raise
    return party


def _register(operator: Operator, party: Credential, channels: list[str]) -> None:
    """Send the key server what it must know of a party: secrets if symmetric, else the public halves."""
    symmetric = party.signing.kty == "oct"
    keys = RegisteredKeys(
        signing=party.signing if symmetric else party.signing.public(),
        kek=party.kek if symmetric else party.kek.public(),
    )
    sealed = jose.seal(
        encode(keys), operator.credential.server_kek, kid=party.operator, typ=jose.TYP_SEALED_KEY
    )
    acting.ask(
        operator,
        operations.REGISTRY_ADD,
        Done,
        id=party.id,
        role=party.role,
        sealed_keys=sealed,
        channels=channels,
    )
