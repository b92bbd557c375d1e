"""Owns a party's calls to its operator's key servers: sign, ask the first that answers, open, check.

A call keeps one `jti` through all its attempts, so that a repeat never counts twice. A certified party's
certificates are renewed along the way (`client.renewal`). Calling order: enter the context, `call` as often
as needed, leave it.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import msgspec

from sealcast.client import limits
from sealcast.client.events import EventFeed
from sealcast.client.renewal import Keep, Renewal
from sealcast.core.errors import AuthenticationError, FormatError, RefusedError, UnreachableError
from sealcast.core.ports import Random
from sealcast.device.holder import keys_of
from sealcast.device.token import PartyKeys
from sealcast.device.vault import Credential
from sealcast.messages import jose
from sealcast.messages.encoding import b64url_encode, decode, encode
from sealcast.messages.enrolment import CertificateAnswer, Certificates
from sealcast.messages.operation import Operation
from sealcast.messages.operations import CERTIFICATE_RENEW
from sealcast.messages.problems import Problem, problem_name
from sealcast.messages.requests import JTI_BYTES

if TYPE_CHECKING:
    from sealcast.client.transfer import Reply, Stream, Transfer

Answer = TypeVar("Answer", bound=msgspec.Struct)

Use = Callable[[Credential, Keep], None]
"""Hands a credential that was read anew, and what keeps it, to a client that is in use."""

USE_NONCE = "use-nonce"
OTHER_SERVER_STATUS = 500
"""From this HTTP status on the fault is the server's, and another server may do better."""


class KeyServerClient:
    """Asks as the party that `credential` describes; one object per event loop.

    Safe for concurrent calls. Cost: about 0.1 ms of CPU for a symmetric party, 0.3 ms for one with key
    pairs, and one TLS handshake a connection.
    """

    def __init__(
        self,
        credential: Credential,
        random: Random,
        keep: Keep | None = None,
        keys: PartyKeys | None = None,
    ) -> None:
        """Keep what is needed to ask; opens nothing. Raises FormatError for a credential without servers.

        `keep` is called, in another thread, with the credential whose certificates were renewed. `keys` are
        needed where they are in a token; else UsageError.
        """
        if not credential.servers:
            raise FormatError(f"the credential of {credential.id} names no key server: enrol again")
        self._credential = credential
        self._keys = keys or keys_of(credential)
        self._random = random
        self._servers = list(credential.servers)
        self._nonce = ""
        self._transfer: Transfer | None = None
        # Beyond this many, calls wait here: a wait for a connection would count as a server that is mute.
        self._turns = asyncio.Semaphore(limits.CONNECTIONS_MAX)
        self._renewal = Renewal(credential, self._ask_for_certificates, keep)
        self.events = EventFeed(self, random)
        """What the key server pushes to this party."""

    async def __aenter__(self) -> Self:
        # aiohttp costs 0.2 s of CPU and 20 MB: only programs that do ask pay for it.
        from sealcast.client.transfer import Transfer  # noqa: PLC0415 - see above

        self._transfer = Transfer(self._credential.ca_pem)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._transfer is not None:
            try:
                await self.events.close()
                await self._renewal.finish()
            finally:
                await self._transfer.close()
                self._transfer = None

    @property
    def server(self) -> str:
        """Address of the server that answered last; of the first one before any call."""
        return self._servers[0]

    def use_credential(self, credential: Credential, keep: Keep | None = None) -> None:
        """Go on as the same party with a credential that was read anew; the server in use stays first.

        Its keys are those of before. Raises FormatError for a credential without servers.
        """
        if not credential.servers:
            raise FormatError(f"the credential of {credential.id} names no key server: enrol again")
        is_moved = credential.servers != self._credential.servers
        self._credential = credential
        self._renewal.take_over(credential, keep)
        if is_moved:
            # The present server may be one that is gone, so it is asked first only if it is still named.
            present = self._servers[0]
            self._servers = sorted(dict.fromkeys(credential.servers), key=lambda server: server != present)

    def use_servers(self, servers: list[str]) -> None:
        """Take over the addresses that a grant or lease announced, behind that of the present server.

        It stays first even if it is not among them: under this address it answers us.
        """
        if servers:
            self._servers = list(dict.fromkeys([self._servers[0], *servers[: limits.SERVERS_MAX]]))

    async def call(self, operation: Operation, **fields: object) -> msgspec.Struct:
        """Ask for `operation` and return its checked answer, an `operation.answer`.

        `fields` are those of `operation.request` beyond the four that every request carries. Raises
        RefusedError (the server said no), UnreachableError (no server answered, within
        `limits.CALL_S_MAX`), FormatError and AuthenticationError (the answer is not what was asked for).
        """
        transfer = self._entered()
        jti = b64url_encode(self._random.bytes(JTI_BYTES))
        try:
            async with asyncio.timeout(limits.CALL_S_MAX), self._turns:
                body = await self._ask_servers(transfer, operation, jti, fields)
        except TimeoutError as error:
            raise UnreachableError(
                f"{self.server} does not answer in time: is it running, and does the network reach it?"
            ) from error
        return self._open(operation, jti, body)

    async def expect(self, operation: Operation, kind: type[Answer], **fields: object) -> Answer:
        """Do as `call` and return the answer under its type, which is the operation's."""
        answer = await self.call(operation, **fields)
        if not isinstance(answer, kind):
            raise TypeError(f"{operation.name} answers with {operation.answer.__name__}")
        return answer

    async def open(self, server: str, operation: Operation, **fields: object) -> "Stream":
        """Ask one server for an answer that goes on, and return it for the caller to read and close.

        Raises RefusedError, UnreachableError and FormatError as `call`, within two attempts.
        """
        transfer = self._entered()
        jti = b64url_encode(self._random.bytes(JTI_BYTES))
        for _ in range(1 + limits.NONCE_REPEATS_MAX):
            stream = await transfer.open(server, operation.path, self._sign(operation, jti, fields))
            if self._take_over(stream.reply):
                return stream
            stream.close()
            refusal = _refusal(server, stream.reply)
            if refusal.type != USE_NONCE or stream.reply.nonce is None:
                break
        raise refusal

    def _entered(self) -> "Transfer":
        if self._transfer is None:
            raise RuntimeError("a client is used inside `async with`")
        return self._transfer

    async def _ask_for_certificates(self) -> Certificates:
        answer = await self.expect(CERTIFICATE_RENEW, CertificateAnswer)
        return answer.certificates

    async def _ask_servers(
        self, transfer: "Transfer", operation: Operation, jti: str, fields: dict[str, object]
    ) -> bytes:
        """Try each server in turn, at most `ROUNDS_MAX` times; stay with the one that answers."""
        fault: UnreachableError | RefusedError | None = None
        pause_s = limits.ROUND_PAUSE_S
        for attempt in range(limits.ROUNDS_MAX):
            if attempt:
                await asyncio.sleep(pause_s)
            for server in tuple(self._servers):
                try:
                    body = await self._ask(transfer, server, operation, jti, fields)
                except UnreachableError as error:
                    fault = fault or error
                    continue
                except RefusedError as error:
                    if error.status < OTHER_SERVER_STATUS:
                        self._prefer(server)
                        raise
                    fault = error
                    pause_s = max(pause_s, min(error.retry_after_s or 0, limits.BUSY_PAUSE_S_MAX))
                    continue
                self._prefer(server)
                return body
        raise fault or UnreachableError("no key server is known")

    async def _ask(
        self, transfer: "Transfer", server: str, operation: Operation, jti: str, fields: dict[str, object]
    ) -> bytes:
        """Ask one server, once more if it wants a fresh nonce; raises RefusedError for its no."""
        for _ in range(1 + limits.NONCE_REPEATS_MAX):
            reply = await transfer.post(server, operation.path, self._sign(operation, jti, fields))
            if self._take_over(reply):
                return reply.body
            refusal = _refusal(server, reply)
            if refusal.type != USE_NONCE or reply.nonce is None:
                break
        raise refusal

    def _take_over(self, reply: "Reply") -> bool:
        """Take over what a reply says beside its answer; return whether it is a yes."""
        if reply.nonce is not None:
            self._nonce = reply.nonce
        self._renewal.note(reply.certificate_remaining_s)
        return 200 <= reply.status < 300

    def _sign(self, operation: Operation, jti: str, fields: dict[str, object]) -> str:
        """Return the request as a JWS. A repeat within a nonce's life is the same token, byte for byte."""
        request = operation.request(
            aud=self._credential.operator, op=operation.name, jti=jti, nonce=self._nonce, **fields
        )
        return jose.sign(encode(request), self._keys.signing, kid=self._credential.id, typ=jose.TYP_REQUEST)

    def _open(self, operation: Operation, jti: str, body: bytes) -> msgspec.Struct:
        """Unseal where sealed, verify, decode, and make sure that it answers this very request."""
        if operation.sealed:
            token = jose.unseal(body, self._keys.kek, typ=jose.TYP_SEALED_ANSWER)
            body = jose.verify(token, self._credential.server_key, typ=jose.TYP_ANSWER)
        answer = decode(body, operation.answer)
        if getattr(answer, "jti", jti) != jti:
            raise AuthenticationError(f"{self.server} answered another request than ours")
        return answer

    def _prefer(self, server: str) -> None:
        """Ask `server` first from now on, the others in their order after it."""
        if server in self._servers:
            self._servers.remove(server)
            self._servers.insert(0, server)


def _refusal(server: str, reply: "Reply") -> RefusedError:
    """Return a server's no; one without problem details still names the server and the status."""
    retry_after_s = reply.retry_after_s
    if retry_after_s is not None:
        retry_after_s = min(retry_after_s, limits.RETRY_AFTER_S_MAX)
    try:
        problem = decode(reply.body, Problem)
    except FormatError:
        return RefusedError(
            "not-a-key-server" if reply.status < OTHER_SERVER_STATUS else "internal",
            f"{server} answered HTTP {reply.status} without a reason: is it a key server?",
            reply.status,
            retry_after_s=retry_after_s,
        )
    return RefusedError(
        problem_name(problem.type),
        " ".join((problem.detail or problem.title).split()),
        reply.status,
        retry_after_s=retry_after_s,
    )
