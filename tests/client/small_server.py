"""Owns a small real key server for the client's tests: TLS, nonces and answers, and faults on demand."""

import datetime as dt
import ipaddress
import secrets
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sealcast.core.errors import AuthenticationError
from sealcast.core.secret import Secret
from sealcast.device.vault import Credential
from sealcast.messages import answers, jose, jwk, nonces, operations, problems, requests
from sealcast.messages.encoding import decode, encode
from sealcast.messages.sealedanswers import seal_answer

DAY = dt.timedelta(days=1)
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class OsRandom:
    """The operating system's randomness."""

    def bytes(self, count: int) -> bytes:
        """Return `count` random bytes."""
        return secrets.token_bytes(count)

    def below(self, limit: int) -> int:
        """Return a uniform integer in [0, limit)."""
        return secrets.randbelow(limit)


class Authority:
    """A CA that certifies servers on the loopback address."""

    def __init__(self, name: str) -> None:
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._build(self.name, self.key.public_key(), ca=True, hosts=[])
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def server_context(
        self, folder: Path, host: str = "127.0.0.1", *, expired: bool = False
    ) -> ssl.SSLContext:
        """Return a server's TLS context with a certificate for `host`."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        certificate = self._build(subject, key.public_key(), ca=False, hosts=[host], expired=expired)
        path = folder / f"{secrets.token_hex(4)}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _build(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        *,
        ca: bool,
        hosts: list[str],
        expired: bool = False,
    ) -> x509.Certificate:
        end = START + DAY if expired else START + 36500 * DAY
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(START)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        for host in hosts:
            try:
                name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
            except ValueError:
                name = x509.DNSName(host)
            builder = builder.add_extension(x509.SubjectAlternativeName([name]), critical=False)
        return builder.sign(self.key, hashes.SHA256())


class SmallServer:
    """Answers `lease` (sealed), `on-air` and `channel-list`; `before` may answer in its place."""

    def __init__(self, tls: ssl.SSLContext, server_key: jwk.Jwk, credential: Credential) -> None:
        self.tls, self.server_key, self.credential = tls, server_key, credential
        self.nonce_key = Secret(secrets.token_bytes(32))
        self.jtis: list[str] = []
        self.now_ms = 0
        self.url = ""
        self.before: Callable[[web.Request], Awaitable[web.StreamResponse | None]] | None = None
        self.answer_jti: str | None = None
        self.answer_signer = server_key

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_post("/v1/{path:.*}", self.handle)
        self.runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.5)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0, ssl_context=self.tls).start()
        self.url = f"https://127.0.0.1:{self.runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.runner.cleanup()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Check signature and nonce as the real server does, then answer."""
        token = await request.read()
        operation = next(one for one in operations.ALL if one.path == request.path)
        key = (
            self.credential.signing
            if self.credential.signing.kty == "oct"
            else self.credential.signing.public()
        )
        asked = decode(jose.verify(token, key, typ=jose.TYP_REQUEST), operation.request)
        assert jose.peek(token).kid == self.credential.id
        assert (asked.aud, asked.op) == (self.credential.operator, operation.name)
        self.jtis.append(asked.jti)
        if self.before is not None and (early := await self.before(request)) is not None:
            return early
        try:
            nonces.check_nonce(self.nonce_key, asked.nonce, self.now_ms)
        except AuthenticationError:
            return self.refuse("use-nonce", "take this nonce")
        return self.answer(operation, asked)

    def answer(self, operation: operations.Operation, asked: requests.Request) -> web.Response:
        """Return the answer that the operation promises."""
        jti = self.answer_jti or asked.jti
        if operation is operations.LEASE:
            assert isinstance(asked, requests.LeaseRequest)
            channel = answers.ChannelData(name=asked.channel, group="239.1.1.1", port=5004, number=7)
            lease = answers.LeaseAnswer(jti=jti, channel=channel, slots=[], published=[])
            sealed = seal_answer(encode(lease), self.credential.kek, kid="x", signing=self.answer_signer)
            return self.reply(sealed.encode(), problems.MEDIA_TYPE_JOSE)
        if operation is operations.CHANNEL_LIST:
            return self.reply(encode(answers.ChannelList(channels=[])), problems.MEDIA_TYPE_JSON)
        return self.reply(encode(answers.Done(jti=jti)), problems.MEDIA_TYPE_JSON)

    def reply(self, body: bytes, media: str, status: int = 200) -> web.Response:
        """Return a response with a fresh nonce, as every response has."""
        headers = {problems.HEADER_NONCE: nonces.mint_nonce(self.nonce_key, self.now_ms)}
        return web.Response(body=body, status=status, content_type=media, headers=headers)

    def refuse(self, name: str, detail: str) -> web.Response:
        """Return a no."""
        no = problems.problem(name, detail)
        response = self.reply(encode(no), problems.MEDIA_TYPE_PROBLEM, no.status)
        response.headers["Retry-After"] = "2"
        return response
