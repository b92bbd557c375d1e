"""Owns what an agent does about keys for its clients: sign, blind, unblind, say what was wrong, open.

One at a time: a lock goes around each operation, as a token wants it. Reading content (`agent.copying`) takes
no lock and no key of the device.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog

from sealcast.agent import blinding
from sealcast.agent.holding import Held, Holding
from sealcast.agent.revocations import Revocations
from sealcast.agent.secrets import Entitlement, Secrets, content_key
from sealcast.agent.sessions import OpenPackage, read_head, read_token
from sealcast.agent.signing import sign_request
from sealcast.core.errors import RefusedError
from sealcast.core.ports import Random
from sealcast.messages import agent, jose
from sealcast.messages.encoding import encode
from sealcast.messages.escrow import TYP_FAULT, Fault
from sealcast.messages.package import header_digest
from sealcast.transport.frames import FRAME_BYTES_MAX

SESSIONS_MAX = 16
"""Of one connection: a player has one, a player that serves many readers one for each."""

NOT_BOUGHT = "not-bought"

log = structlog.get_logger("sealcast.agent")


class Desk:
    """Answers what needs the device; safe for several threads."""

    def __init__(self, holding: Holding, secrets: Secrets, random: Random) -> None:
        self._holding, self._secrets, self._random = holding, secrets, random
        self._lock = threading.Lock()
        self._revoked = Revocations(secrets.folder)
        self._open: list[OpenPackage] = []

    def is_in_place(self) -> bool:
        """Whether the device is there, as far as a look of microseconds says; takes no lock."""
        return self._holding.is_in_place()

    def watch(self) -> bool:
        """Look for the device; where it is gone, end all sessions. To be called every second or so."""
        with self._lock:
            return self._present_or_end()

    def close(self) -> None:
        """End all sessions and let go of the device."""
        with self._lock:
            self._end_sessions()
            self._holding.close()
            self._secrets.close()

    def answer(self, ask: agent.Ask) -> agent.Answer:
        """Answer an operation that comes without descriptors; raises what its own method does."""
        answers: dict[type, Callable[[Any], agent.Answer]] = {
            agent.Hello: lambda _: self.hello(),
            agent.Sign: self.sign,
            agent.Blind: self.blind,
            agent.Unblind: self.unblind,
            agent.AskFault: self.fault,
            agent.AskEntitlements: lambda _: self.entitlements(),
            agent.Forget: self.forget,
        }
        return answers[type(ask)](ask)

    def hello(self) -> agent.Presence:
        """Return who the device is; raises RefusedError `detached`, as all that follow do."""
        with self._lock:
            held = self._present()
            credential = held.credential
            return agent.Presence(
                version=agent.VERSION,
                id=credential.id,
                role=credential.role,
                operator=credential.operator,
                signing=held.keys.signing.public(),
                kek=held.keys.kek.public(),
                ca_pem=credential.ca_pem,
                server_key=credential.server_key.public(),
                server_kek=credential.server_kek.public(),
                servers=credential.servers,
                certificates=held.certificates,
                limits=agent.Limits(
                    frame_bytes=FRAME_BYTES_MAX, sessions=SESSIONS_MAX, pending=blinding.PENDING_MAX
                ),
                token=credential.token.label if credential.token is not None else None,
            )

    def sign(self, ask: agent.Sign) -> agent.Signature:
        """Sign a request to an escrow; raises RefusedError `not-signed` for anything else."""
        with self._lock:
            held = self._present()
            operation, signature = sign_request(ask.signed, held)
            log.info("signed", operation=operation)
            return agent.Signature(signature=signature)

    def blind(self, ask: agent.Blind) -> agent.Blinded:
        """Blind a part and sign the request; r is on the disk before this returns."""
        with self._lock:
            held = self._present()
            check = partial(self._revoked.check, held=held)
            answer = blinding.blind_part(ask, held, self._secrets, self._random, check)
            log.info("blinded", order=ask.order, share=ask.number, escrow=answer.escrow)
            return answer

    def unblind(self, ask: agent.Unblind) -> agent.Progress:
        """Take what an escrow opened; raises AuthenticationError for one that lies, or for a wrong share."""
        with self._lock:
            held = self._present()
            answer = blinding.take_opened(ask, held, self._secrets)
            log.info("unblinded", order=ask.order, share=ask.number, complete=answer.complete)
            return answer

    def fault(self, ask: agent.AskFault) -> agent.FaultWord:
        """Say, signed, what was wrong with an order; nothing where nothing was."""
        with self._lock:
            held = self._present()
            found = blinding.find_fault(ask.order, held, self._secrets)
            if found is None:
                return agent.FaultWord(fault=None)
            fault = Fault(
                order=ask.order,
                key=found.key,
                package=found.package,
                what=found.what,
                number=found.number,
                device=held.credential.id,
            )
            signing = held.keys.signing
            return agent.FaultWord(
                fault=jose.sign(encode(fault), signing, kid=held.credential.id, typ=TYP_FAULT)
            )

    def take_revoked(self, source: int) -> agent.Done:
        """Take over a list of revoked certificates, of which this is a descriptor."""
        with self._lock:
            self._revoked.take(source, self._present())
            return agent.Done()

    def open(self, head: int) -> OpenPackage:
        """Open a package that was bought, whose head a descriptor has; raises RefusedError `not-bought`."""
        with self._lock:
            held = self._present()
            token = read_token(head)
            digest = header_digest(token)
            entitlement = self._secrets.entitlement(digest, held)
            if entitlement is None:
                raise RefusedError(
                    NOT_BOUGHT, "this device has no key to this package: sealcast buy gets one"
                )
            front = read_head(head, token, held.credential.ca_pem)
            package = OpenPackage(front, digest, entitlement.order, content_key(entitlement))
            self._open.append(package)
            return package

    def end(self, package: OpenPackage) -> None:
        """End one session."""
        package.end()
        with self._lock:
            self._open = [each for each in self._open if each is not package]

    def note_wrong_chunk(self, package: OpenPackage, chunk: int) -> None:
        """Keep that the seller signed a chunk that does not open: `fault` says it."""

        def noted(found: Entitlement, held: Held) -> None:
            self._secrets.keep_entitlement(blinding.with_wrong_chunk(found, chunk), held)

        self._change(package.digest, noted)

    def entitlements(self) -> agent.EntitlementList:
        """Return what opens here, and what waits to."""
        with self._lock:
            held = self._present()
            return agent.EntitlementList(entitlements=list(blinding.rows(held, self._secrets)))

    def forget(self, ask: agent.Forget) -> agent.Done:
        """Erase the content keys of a package and what waits for one; its sessions end."""
        with self._lock:
            held = self._present()
            count = self._secrets.forget(ask.package, held)
            for package in self._open:
                if package.header.header.id == ask.package:
                    package.end()
            log.info("forgotten", package=ask.package, files=count)
            return agent.Done()

    def _change(self, digest: str, change: Callable[[Entitlement, Held], None]) -> None:
        with self._lock:
            held = self._present()
            found = self._secrets.entitlement(digest, held)
            if found is not None:
                change(found, held)

    def _present(self) -> Held:
        try:
            return self._holding.present()
        except RefusedError:
            self._end_sessions()
            raise

    def _present_or_end(self) -> bool:
        is_there = self._holding.look()
        if not is_there:
            self._end_sessions()
        return is_there

    def _end_sessions(self) -> None:
        for package in self._open:
            package.end()
        self._open.clear()
