"""Owns where a party's two keys are: in its vault's credential, or in a PKCS#11 token that this one names."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sealcast.core.errors import UsageError
from sealcast.core.secret import Secret
from sealcast.device.token import PartyKeys, TokenKeys, TokenPlace, open_keys, open_left_keys
from sealcast.device.vault import Credential, PassphraseFor, Vault, open_vault

PinFor = Callable[[TokenPlace], Secret]
"""Gives the PIN of a token, or raises UsageError with how to give it."""


def held_keys(token: TokenKeys) -> PartyKeys:
    """Return the keys in an open token."""
    return PartyKeys(token.signing, token.kek, token)


def keys_of(credential: Credential, pin_for: PinFor | None = None) -> PartyKeys:
    """Return a party's keys; where they are in a token, it is opened, with the PIN that `pin_for` gives.

    Raises UsageError: no token, wrong PIN, or other keys than the credential says.
    """
    if credential.token is None:
        return PartyKeys(credential.signing, credential.kek)
    if pin_for is None:
        raise UsageError(f"the keys of {credential.id} are in a token, and no PIN is given")
    token = open_keys(credential.token, pin_for(credential.token))
    if (token.signing.public(), token.kek.public()) != (credential.signing.public(), credential.kek.public()):
        token.close()
        raise UsageError(f"the token {credential.token.label} holds other keys than those of {credential.id}")
    return held_keys(token)


def open_with_keys(
    path: Path,
    passphrase_for: PassphraseFor | None,
    pin_for: PinFor | None,
    *,
    allow_destroyed: bool = False,
) -> Vault:
    """Open a vault, and the token where that one holds the keys; raises UsageError.

    `allow_destroyed`: also where a withdrawal has destroyed keys, with those that are left.
    """
    vault = open_vault(path, passphrase_for, allow_destroyed=allow_destroyed)
    credential = vault.credential
    if credential.token is None:
        return vault
    if credential.destroyed is None:
        return replace(vault, keys=keys_of(credential, pin_for))
    if pin_for is None:
        raise UsageError(f"the keys of {credential.id} are in a token, and no PIN is given")
    pin = pin_for(credential.token)
    return replace(
        vault, keys=held_keys(open_left_keys(credential.token, pin, credential.signing, credential.kek))
    )
