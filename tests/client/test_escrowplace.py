"""Shows over real connections that an escrow which shows another one's word on its place is found out."""

import asyncio
import ssl
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509

from sealcast.client.escrowplace import find_escrow
from sealcast.core.errors import AuthenticationError
from sealcast.device.certified import spki_digest
from sealcast.messages import jose
from sealcast.messages.encoding import encode
from sealcast.messages.escrow import PLACE_PATH, TYP_ESCROW_PLACE, EscrowPlace, EscrowPlaceAnswer
from sealcast.server.certificates import Issued, make_ca, make_issuer, make_server_certificate
from sealcast.server.issuing import Issuer
from sealcast.transport.system import SystemClock
from sealpack.makers import OPERATOR, RANDOM, Operator

HOST = "127.0.0.1"


def context_of(tls: Issued, folder: Path) -> ssl.SSLContext:
    """Return the context of a server with this certificate."""
    folder.mkdir()
    for name, data in (("key", tls.key_pem), ("certificate", tls.certificate_pem)):
        (folder / name).write_bytes(data)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate", folder / "key")
    return context


def word_of(operator: Operator, tls: Issued) -> bytes:
    """Return what the escrow `lead` says of its place, under this TLS certificate."""
    escrow = operator.escrow("lead")
    digest = spki_digest(x509.load_pem_x509_certificate(tls.certificate_pem))
    place = EscrowPlace(version=1, escrow="lead", operator=OPERATOR, tls=digest)
    token = jose.sign(encode(place), escrow.signing, kid="lead", typ=TYP_ESCROW_PLACE)
    return encode(EscrowPlaceAnswer(place=token, certificate=escrow.certificate))


async def found_at(said: bytes, context: ssl.SSLContext, ca_pem: str) -> str:
    """Return which escrow is found where this is said over TLS of this context."""

    async def say(_: web.Request) -> web.Response:
        return web.Response(body=said)

    application = web.Application()
    application.router.add_get(PLACE_PATH, say)
    runner = web.AppRunner(application, shutdown_timeout=0.5)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0, ssl_context=context).start()
        return (await find_escrow([f"https://{HOST}:{runner.addresses[0][1]}"], ca_pem)).id
    finally:
        await runner.cleanup()


def test_a_replayed_place_is_found_out(tmp_path: Path) -> None:
    """Over its own TLS key an escrow's word is believed; over another server's key it is not."""
    now_ns = SystemClock().wall_ns()
    ca = make_ca(OPERATOR, RANDOM, now_ns)
    operator = Operator(ca, Issuer(make_issuer(ca, OPERATOR, RANDOM, now_ns), OPERATOR, RANDOM, days=30))
    own, others = (make_server_certificate(ca, (HOST,), RANDOM, now_ns) for _ in range(2))
    said = word_of(operator, own)
    assert asyncio.run(found_at(said, context_of(own, tmp_path / "own"), operator.ca_pem)) == "lead"
    with pytest.raises(AuthenticationError, match="it is the escrow lead, and has not its TLS key"):
        asyncio.run(found_at(said, context_of(others, tmp_path / "others"), operator.ca_pem))
