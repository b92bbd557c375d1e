"""Owns a device's side of the evidence: the erasure statement that it signs, and the receipt that it gets.

```
WithdrawalBegun (nonce, counter, scope, keys) ──► statement: JWS typ sealcast-erasure, by the signing key
Withdrawn                                     ──► receipt:   JWS typ sealcast-receipt, by the key server
```
A statement is made when no program of the device holds a key of the scope any more; keys of channels are
never on a disk, so what ended with the last program is gone.
"""

import hashlib
from collections.abc import Mapping

from sealcast.core.errors import AuthenticationError
from sealcast.device.vault import Credential
from sealcast.messages import jose
from sealcast.messages.encoding import decode, encode
from sealcast.messages.jwk import HeldPair, Jwk
from sealcast.messages.subscribing import ALL_CHANNELS, ErasureStatement, Receipt, WithdrawalBegun


def make_statement(
    credential: Credential,
    signing: Jwk | HeldPair,
    begun: WithdrawalBegun,
    last_index: Mapping[int, int] | None = None,
) -> str:
    """Return the statement, signed with the device's `signing` key, that the keys in `begun` are destroyed.

    `last_index` is the index of the last packet opened, by channel number, as far as it is known.
    """
    statement = ErasureStatement(
        operator=credential.operator,
        device=credential.id,
        scope=begun.scope,
        statement_nonce=begun.statement_nonce,
        counter=begun.counter,
        erased=begun.key_ids,
        last_index={
            str(number): index
            for number, index in (last_index or {}).items()
            if begun.scope in {ALL_CHANNELS, str(number)}
        },
        kek_erased=begun.scope == ALL_CHANNELS,
    )
    return jose.sign(encode(statement), signing, kid=credential.id, typ=jose.TYP_ERASURE)


def read_receipt(token: str, credential: Credential, statement: str | None = None) -> Receipt:
    """Return a key server's receipt of ours, for `statement` if one is given.

    Raises AuthenticationError if it is not signed by the operator's server, or not for this device and
    statement, and FormatError for what is no receipt.
    """
    receipt = decode(jose.verify(token, credential.server_key, typ=jose.TYP_RECEIPT), Receipt)
    if (receipt.operator, receipt.device) != (credential.operator, credential.id):
        raise AuthenticationError("the receipt that came is another device's")
    digest = hashlib.sha256(statement.encode()).hexdigest() if statement is not None else None
    if digest not in {None, receipt.statement_sha256}:
        raise AuthenticationError("the receipt that came is for another statement than ours")
    return receipt
