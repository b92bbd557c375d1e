"""Owns what a running key server reads again on SIGHUP: it takes over all of it, or nothing and says why."""

import ssl

from sealcast.core.errors import UsageError
from sealcast.server.settings import KeyserverSettings
from sealcast.server.state import ServerState, load_server_state

HANDSHAKE_STEPS_MAX = 10
"""Turns of a TLS handshake with ourselves; four are enough."""

FIXED = ("operator", "master_key", "nonce_key", "signing", "kek", "ca_pem", "issuer")
"""What a running server is; with another of these it is another server, and wants a new start."""


def reread_state(settings: KeyserverSettings, present: ServerState) -> ServerState:
    """Return the state directory's content as it is now, with a certificate that works.

    Raises UsageError if a file does not do, or belongs to another server than the present one.
    """
    if settings.state_directory != present.directory:
        raise UsageError(f"the state moved to {settings.state_directory}: restart the key server")
    state = load_server_state(settings.state_directory)
    for name in FIXED:
        if getattr(state, name) != getattr(present, name):
            raise UsageError(
                f"the {name.replace('_', ' ')} in {state.directory} changed: restart the key server"
            )
    check_certificate(state)
    return state


def check_certificate(state: ServerState) -> None:
    """Raise UsageError unless parties of this operator would trust the server's certificate now.

    A TLS handshake with ourselves, in memory: about 3 ms.
    """
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        client.load_verify_locations(cadata=state.ca_pem)
        server.load_cert_chain(state.certificate_path, state.certificate_key_path)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise UsageError(
            f"{state.certificate_path} and {state.certificate_key_path} do not fit each other: {error}"
        ) from error
    try:
        _shake_hands(server, client)
    except ssl.SSLCertVerificationError as error:
        raise UsageError(
            f"{state.certificate_path} is not to be trusted by this operator's CA: {error.verify_message};"
            " make another with: sealcast ca renew-server"
        ) from error
    except ssl.SSLError as error:
        raise UsageError(f"{state.certificate_path} does not serve TLS 1.3: {error}") from error


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """Carry the bytes of a handshake to and fro; raises SSLError where one side refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=None),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    waiting = list(sides)
    for _ in range(HANDSHAKE_STEPS_MAX):
        for side in tuple(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
        if not waiting:
            return
