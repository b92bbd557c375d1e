"""Owns a party's calls to its operator's key servers: sign, ask the first that answers, open, check.

A call keeps one `jti` through all its attempts, so that a repeat never counts twice, wherever it goes. Whom
to ask `client.choosing` says, and `client.racing` asks another where one is mute. A certified party's
certificates are renewed along the way (`client.renewal`). Calling order: enter the context, `call` as often
as needed, leave it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import msgspec

from sealcast.client import limits
from sealcast.client.choosing import Choice, Servers
from sealcast.client.events import EventFeed
from sealcast.client.racing import ServerFault, first_answer
from sealcast.client.refusals import USE_NONCE, is_server_fault, refusal_of
from sealcast.client.renewal import Keep, Renewal
from sealcast.core.errors import (
    AuthenticationError,
    FormatError,
    RefusedError,
    RemoteError,
    SealcastError,
    UnreachableError,
)
from sealcast.core.ports import NS_PER_S, Random
from sealcast.device.holder import keys_of
from sealcast.device.token import PartyKeys
from sealcast.device.vault import Credential
from sealcast.messages import jose
from sealcast.messages.encoding import b64url_encode, decode, encode
from sealcast.messages.enrolment import CertificateAnswer, Certificates
from sealcast.messages.operation import Operation
from sealcast.messages.operations import CERTIFICATE_RENEW
from sealcast.messages.requests import JTI_BYTES
from sealcast.messages.sealedanswers import open_answer

if TYPE_CHECKING:
    from sealcast.client.transfer import Reply, Stream, Transfer

Answer = TypeVar("Answer", bound=msgspec.Struct)

Use = Callable[[Credential, Keep], None]
"""Hands a credential that was read anew, and what keeps it, to a client that is in use."""

Sign = Callable[[str, str], str]
"""Makes a request (JWS) with these claims `jti` and `nonce`."""

PATIENT_ROLES = frozenset({"operator", "operator-or-server", "server", "newcomer"})
"""Their requests may take long, and are in nobody's way: no second server is asked while one works."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a call asks for: `token` signs it with the nonce of that moment."""

    operation: Operation
    jti: str
    token: Callable[[], str]


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
        *,
        choice: Choice = Choice.LISTED,
        audience: str | None = None,
    ) -> None:
        """Keep what is needed to ask; opens nothing. Raises FormatError for a credential without servers.

        `keep` is called, in another thread, with the credential whose certificates were renewed. `keys` are
        needed where they are in a token; else UsageError. `choice` is how to choose among several servers.
        `audience` is whom requests are signed for: the operator's key servers unless given.
        """
        if not credential.servers:
            raise FormatError(f"the credential of {credential.id} names no key server: enrol again")
        self._credential = credential
        self._keys = keys or keys_of(credential)
        self._random = random
        self._audience = audience or credential.operator
        self._servers = Servers(credential.id, credential.servers, choice, random)
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
        return self._servers.present

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
            # The present server may be one that is gone, so it is kept only if it is still named.
            self._servers.rename(credential.servers)

    def use_servers(self, servers: list[str]) -> None:
        """Take over the addresses that a grant or lease announced; those of the credential come after them.

        Under `listed` the present server stays first even if it is not among them: there it answers us.
        """
        self._servers.announce(servers)

    def use_hints(self, servers: Sequence[str]) -> None:
        """Take over addresses that a stream tells, as a last resort: who answers must be our operator's."""
        self._servers.hint(servers)

    def pass_over(self) -> None:
        """Ask another server next, if there is one: the last answer lacked what another may have by now."""
        self._servers.handle_lacking(self.server, self._now())

    async def call(self, operation: Operation, **fields: object) -> msgspec.Struct:
        """Ask for `operation` and return its checked answer, an `operation.answer`.

        `fields` are those of `operation.request` beyond the four that every request carries. Raises
        RefusedError (the server said no), UnreachableError (no server answered, within
        `limits.CALL_S_MAX`), FormatError and AuthenticationError (the answer is not what was asked for).
        """
        return await self._call(operation, lambda jti, nonce: self._sign(operation, jti, nonce, fields))

    async def expect(self, operation: Operation, kind: type[Answer], **fields: object) -> Answer:
        """Do as `call` and return the answer under its type, which is the operation's."""
        return _of(kind, operation, await self.call(operation, **fields))

    async def expect_signed(self, operation: Operation, kind: type[Answer], sign: Sign) -> Answer:
        """Do as `expect` with a request that `sign` makes: whoever keeps the key knows what it says.

        Raises what `sign` raises, too.
        """
        return _of(kind, operation, await self._call(operation, sign))

    async def open(self, server: str, operation: Operation, **fields: object) -> "Stream":
        """Ask one server for an answer that goes on, and return it for the caller to read and close.

        Raises RefusedError, UnreachableError and FormatError as `call`, within two attempts.
        """
        transfer = self._entered()
        jti = b64url_encode(self._random.bytes(JTI_BYTES))
        for _ in range(1 + limits.NONCE_REPEATS_MAX):
            token = self._sign(operation, jti, self._nonce, fields)
            stream = await transfer.open(server, operation.path, token)
            if self._take_over(stream.reply):
                return stream
            stream.close()
            refusal = refusal_of(server, stream.reply)
            if refusal.type != USE_NONCE or stream.reply.nonce is None:
                break
        raise refusal

    async def _call(self, operation: Operation, sign: Sign) -> msgspec.Struct:
        transfer = self._entered()
        jti = b64url_encode(self._random.bytes(JTI_BYTES))
        asked = _Asked(operation, jti, lambda: sign(jti, self._nonce))
        try:
            async with asyncio.timeout(limits.CALL_S_MAX), self._turns:
                return await self._ask_servers(transfer, asked)
        except TimeoutError as error:
            raise UnreachableError(
                f"{self.server} does not answer in time: is it running, and does the network reach it?"
            ) from error

    def _entered(self) -> "Transfer":
        if self._transfer is None:
            raise RuntimeError("a client is used inside `async with`")
        return self._transfer

    async def _ask_for_certificates(self) -> Certificates:
        answer = await self.expect(CERTIFICATE_RENEW, CertificateAnswer)
        return answer.certificates

    async def _ask_servers(self, transfer: "Transfer", asked: _Asked) -> msgspec.Struct:
        """Ask the servers in turn, `ROUNDS_MAX` times; raises what one of them refused with, or the first."""
        servers, faults, useless = self._servers, list[SealcastError](), set[str]()
        pause_s = servers.wait_ns(self._now()) / NS_PER_S
        patience_s = None if asked.operation.role in PATIENT_ROLES else servers.patience_ns / NS_PER_S

        async def ask(server: str) -> msgspec.Struct:
            try:
                return await self._ask(transfer, server, asked)
            except ServerFault as fault:
                faults.append(fault.error)
                if isinstance(fault.error, RemoteError):
                    useless.add(server)  # What is no answer to us would be none the second time.
                raise

        for attempt in range(limits.ROUNDS_MAX):
            if attempt:
                pause_s = max(limits.ROUND_PAUSE_S, servers.busy_ns(self._now()) / NS_PER_S)
                if len(useless) == len(faults):
                    break
            await asyncio.sleep(min(pause_s, limits.BUSY_PAUSE_S_MAX))
            wanted = [server for server in servers.order(self._now()) if server not in useless]
            with contextlib.suppress(ServerFault):
                return await first_answer(wanted, ask, self._note_mute, patience_s)
        raise next((fault for fault in faults if isinstance(fault, RefusedError)), faults[0])

    async def _ask(self, transfer: "Transfer", server: str, asked: _Asked) -> msgspec.Struct:
        """Ask one server and note how it did; raises RefusedError for its no, ServerFault for its faults."""
        servers, began = self._servers, self._now()
        servers.handle_asked(server, began)
        try:
            body = await self._exchange(transfer, server, asked)
            answer = self._open(asked.operation, asked.jti, body)
        except RefusedError as error:
            if not is_server_fault(error):
                servers.handle_answer(server, self._now(), self._now() - began)
                raise
            if error.retry_after_s is None:
                servers.handle_failure(server, self._now())
            else:
                servers.handle_busy(server, self._now(), int(error.retry_after_s * NS_PER_S))
            raise ServerFault(error) from error
        except (UnreachableError, RemoteError) as error:
            servers.handle_failure(server, self._now())
            raise ServerFault(error) from error
        servers.handle_answer(server, self._now(), self._now() - began)
        return answer

    async def _exchange(self, transfer: "Transfer", server: str, asked: _Asked) -> bytes:
        """Ask one server, once more if it wants a fresh nonce; raises RefusedError for its no."""
        for _ in range(1 + limits.NONCE_REPEATS_MAX):
            reply = await transfer.post(server, asked.operation.path, asked.token())
            if self._take_over(reply):
                return reply.body
            refusal = refusal_of(server, reply)
            if refusal.type != USE_NONCE or reply.nonce is None:
                break
        raise refusal

    def _note_mute(self, server: str) -> None:
        self._servers.handle_failure(server, self._now())

    def _now(self) -> int:
        return int(asyncio.get_running_loop().time() * NS_PER_S)

    def _take_over(self, reply: "Reply") -> bool:
        """Take over what a reply says beside its answer; return whether it is a yes."""
        if reply.nonce is not None:
            self._nonce = reply.nonce
        self._renewal.note(reply.certificate_remaining_s)
        return 200 <= reply.status < 300

    def _sign(self, operation: Operation, jti: str, nonce: str, fields: dict[str, object]) -> str:
        """Return the request as a JWS. A repeat within a nonce's life is the same token, byte for byte."""
        request = operation.request(aud=self._audience, op=operation.name, jti=jti, nonce=nonce, **fields)
        return jose.sign(encode(request), self._keys.signing, kid=self._credential.id, typ=jose.TYP_REQUEST)

    def _open(self, operation: Operation, jti: str, body: bytes) -> msgspec.Struct:
        """Unseal where sealed, verify, decode, and make sure that it answers this very request."""
        if operation.sealed:
            body = open_answer(body, self._keys.kek, server_key=self._credential.server_key)
        answer = decode(body, operation.answer)
        if getattr(answer, "jti", jti) != jti:
            raise AuthenticationError(f"{self.server} answered another request than ours")
        return answer


def _of(kind: type[Answer], operation: Operation, answer: msgspec.Struct) -> Answer:
    if not isinstance(answer, kind):
        raise TypeError(f"{operation.name} answers with {operation.answer.__name__}")
    return answer
