"""Owns asking key servers who was revoked: the first that answers gives the list, as it made it."""

from collections.abc import Sequence

from sealcast.client.transfer import Transfer
from sealcast.core.errors import RemoteError, SealcastError, UnreachableError
from sealcast.device.revoked import CRL_BYTES_MAX
from sealcast.messages.enrolment import CRL_PATH


async def fetch_revoked(servers: Sequence[str], ca_pem: str) -> bytes:
    """Return the list (DER) of the first key server that gives one; raises UnreachableError.

    Nothing of it is believed beyond TLS: `device.revoked.read_revoked` checks it.
    """
    why: SealcastError = UnreachableError("no key server is known to ask for revoked certificates")
    transfer = Transfer(ca_pem)
    try:
        for server in servers:
            try:
                reply = await transfer.get(server, CRL_PATH, bytes_max=CRL_BYTES_MAX)
            except (UnreachableError, RemoteError) as error:
                why = error
                continue
            if reply.status == 200:
                return reply.body
            why = UnreachableError(f"{server} gives no list of revoked certificates ({reply.status})")
    finally:
        await transfer.close()
    raise why
