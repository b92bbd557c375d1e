"""Owns a program's side of the device agent's socket: asking it, and a key pair that signs through it.

The pair has the shape of any other (`messages.jwk.HeldPair`), so `client.keyserver.KeyServerClient` asks an
escrow as the agent's device: `credential` and `keys` are what it takes. No secret is ever on this side.
"""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sealcast.core import errors
from sealcast.core.errors import FormatError, LocalError, RefusedError, SealcastError, UnreachableError
from sealcast.device.heldkeys import KeptEcKey, KeptKey, der_signature
from sealcast.device.token import PartyKeys
from sealcast.device.vault import Credential
from sealcast.messages import agent
from sealcast.messages.jwk import EC_COORDINATE_BYTES, HeldPair, native_public_key
from sealcast.transport.frames import Frame, receive_frame, send_frame

ANSWER_S_MAX = 60.0
"""A token may take seconds for a signature; an agent that says nothing for so long does not live."""

KINDS: dict[str, type[SealcastError]] = {
    each.__name__: each
    for each in (
        errors.AuthenticationError,
        errors.FormatError,
        errors.LocalError,
        errors.UnreachableError,
        errors.UsageError,
    )
}
"""The errors that an agent tells by their name; one of another name is a LocalError here."""

A = TypeVar("A", bound=msgspec.Struct)
_DECODER: msgspec.json.Decoder[agent.Answer] = msgspec.json.Decoder(agent.Answer)


@dataclass(frozen=True, slots=True)
class Written:
    """What a copy did: `count` bytes are in the sink, and `error` says why no more, None if they are all."""

    count: int
    error: SealcastError | None = None


class AgentClient:
    """Asks a device agent; one connection, safe for several threads, which wait for one another.

    Calling order: make it (it connects and says hello), call, `close`; or use it in a `with`.
    """

    def __init__(self, path: Path) -> None:
        """Connect to the socket at `path`; raises UnreachableError with what to type, RefusedError."""
        self.path = path
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(ANSWER_S_MAX)
        try:
            self._socket.connect(str(path))
            self.presence = self._ask(agent.Hello(), agent.Presence)
        except OSError as error:
            self.close()
            raise UnreachableError(
                f"no device agent answers at {path} ({error.strerror or error}): start one with"
                " sealcast device serve, or say where it is with --agent or SEALCAST_AGENT"
            ) from error
        except SealcastError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"AgentClient({self.path})"

    def close(self) -> None:
        """End the connection, and all its sessions with it."""
        self._socket.close()

    def keys(self) -> PartyKeys:
        """Return what signs as this device, through this connection; its KEK opens nothing on this side."""
        jwk = self.presence.signing
        held: ec.EllipticCurvePrivateKey | Ed25519PrivateKey
        public = native_public_key(jwk)
        if isinstance(public, Ed25519PublicKey):
            held = _Ed25519Key(self.sign, public)
        elif isinstance(public, ec.EllipticCurvePublicKey):
            held = _EcKey(self.sign, public)
        else:
            raise FormatError(f"the device agent's device signs with a key of another kind: {jwk!r}")
        return PartyKeys(HeldPair(jwk, held), self.presence.kek)

    def credential(self, servers: Sequence[str], ca_pem: str | None = None) -> Credential:
        """Return the credential with which this device asks `servers`: public halves, nothing to renew."""
        here = self.presence
        return Credential(
            role=here.role,
            id=here.id,
            operator=here.operator,
            signing=here.signing,
            kek=here.kek,
            ca_pem=ca_pem or here.ca_pem,
            servers=list(servers),
            server_key=here.server_key,
            server_kek=here.server_kek,
        )

    def sign(self, signed: bytes) -> bytes:
        """Return the signature over a request's header ‖ "." ‖ payload; raises what the agent refuses."""
        return self._ask(agent.Sign(signed=signed), agent.Signature).signature

    def blind(
        self,
        header: str,
        number: int,
        order: str,
        *,
        jti: str,
        nonce: str = "",
        licence: str | None = None,
        receipt: str | None = None,
        lead: str | None = None,
    ) -> agent.Blinded:
        """Return the request to open part `number` for an order; asked again, the same c'."""
        ask = agent.Blind(
            header=header,
            number=number,
            order=order,
            jti=jti,
            nonce=nonce,
            licence=licence,
            receipt=receipt,
            lead=lead,
        )
        return self._ask(ask, agent.Blinded)

    def unblind(self, order: str, number: int, opened: bytes) -> agent.Progress:
        """Give the agent what an escrow opened; raises AuthenticationError for one that lies."""
        return self._ask(agent.Unblind(order=order, number=number, opened=opened), agent.Progress)

    def fault(self, order: str) -> str | None:
        """Return the device's word (JWS `Fault`) of what was wrong with an order, if something was."""
        return self._ask(agent.AskFault(order=order), agent.FaultWord).fault

    def tell_revoked(self, der: bytes) -> None:
        """Have the agent know who was revoked; raises AuthenticationError for a list by somebody else."""
        with os.fdopen(os.memfd_create("revoked", os.MFD_CLOEXEC), "wb") as file:
            file.write(der)
            file.flush()
            self._ask(agent.Revoked(), agent.Done, (file.fileno(),))

    def open(self, head: int) -> agent.Session:
        """Open a package whose head, at least, can be read from a descriptor; raises RefusedError."""
        return self._ask(agent.Open(), agent.Session, (head,))

    def copy(self, session: int, offset: int, length: int, source: int, sink: int) -> Written:
        """Have content written into a descriptor, as far as it verifies; raises if the agent is gone."""
        ask = agent.Copy(session=session, offset=offset, length=length)
        answer = self._exchange(ask, (source, sink), None)
        match answer:
            case agent.Copied():
                return Written(answer.count)
            case agent.Failed():
                return Written(answer.count, _error(answer))
        raise _unexpected(answer, ask)

    def end(self, session: int) -> None:
        """End a session."""
        self._ask(agent.Close(session=session), agent.Done)

    def entitlements(self) -> list[agent.EntitlementRow]:
        """Return what this device can open, or is about to."""
        return self._ask(agent.AskEntitlements(), agent.EntitlementList).entitlements

    def forget(self, package: str) -> None:
        """Have the content keys of a package erased."""
        self._ask(agent.Forget(package=package), agent.Done)

    def _ask(self, ask: agent.Ask, kind: type[A], descriptors: Sequence[int] = ()) -> A:
        answer = self._exchange(ask, descriptors, ANSWER_S_MAX)
        if isinstance(answer, agent.Failed):
            raise _error(answer)
        if not isinstance(answer, kind):
            raise _unexpected(answer, ask)
        return answer

    def _exchange(self, ask: agent.Ask, descriptors: Sequence[int], wait_s: float | None) -> agent.Answer:
        with self._lock:
            self._socket.settimeout(wait_s)
            # Who is turned away hears why, though nobody reads the question.
            with contextlib.suppress(UnreachableError):
                send_frame(self._socket, msgspec.json.encode(ask), descriptors)
            frame = receive_frame(self._socket)
        if frame is None:
            raise UnreachableError("the device agent has ended the connection")
        return _read(frame)


def _read(frame: Frame) -> agent.Answer:
    with frame:
        try:
            return _DECODER.decode(frame.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise FormatError("not an answer of a device agent") from error


def _error(answer: agent.Failed) -> SealcastError:
    if answer.kind == RefusedError.__name__:
        return RefusedError(answer.type, answer.detail)
    return KINDS.get(answer.kind, LocalError)(answer.detail)


def _unexpected(answer: agent.Answer, ask: agent.Ask) -> FormatError:
    return FormatError(f"the device agent answered {type(answer).__name__} to {type(ask).__name__}")


Ask = Callable[[bytes], bytes]
PLACE = "the device agent"


class _Ed25519Key(KeptKey, Ed25519PrivateKey):
    """An Ed25519 key whose work is done by the agent."""

    place = PLACE

    def __init__(self, ask: Ask, public: Ed25519PublicKey) -> None:
        self._ask, self._public = ask, public

    def sign(self, data: Any) -> bytes:  # noqa: ANN401 - as the library has it
        """Return the agent's signature."""
        return self._ask(bytes(data))

    def public_key(self) -> Ed25519PublicKey:
        """Return the public half."""
        return self._public


class _EcKey(KeptEcKey):
    """A P-256 key whose work is done by the agent."""

    place = PLACE

    def __init__(self, ask: Ask, public: ec.EllipticCurvePublicKey) -> None:
        super().__init__(public)
        self._ask = ask

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:  # noqa: ANN401 - as the library has it
        """Return the agent's signature, as DER."""
        _ = signature_algorithm
        raw = self._ask(bytes(data))
        if len(raw) != 2 * EC_COORDINATE_BYTES:
            raise FormatError("the device agent answered with no signature on P-256")
        return der_signature(raw)

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> NoReturn:
        """Refuse: it signs."""
        _ = algorithm, peer_public_key
        raise LocalError("this key signs, and agrees upon nothing")
