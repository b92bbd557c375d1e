"""Owns the real key server in the simulated world: asked as programs ask it, over lines that lose things.

```
Studio, Viewer ── question ──► RealKeyServer ── signed request, maybe lost, maybe twice ──► InProcess
                                     ◄── answer, maybe lost ──┘
```
`granted` and `aired` are the test's own record, of what was asked and answered, not of what a database says.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sealcast.core.channel import ChannelSpec
from sealcast.core.errors import RefusedError
from sealcast.core.ids import KeyId
from sealcast.core.ports import NS_PER_MS
from sealcast.keys.material import Tek
from sealcast.messages import jose, operations
from sealcast.messages.answers import AirAnswer, Grant, LeaseAnswer
from sealcast.messages.encoding import b64url_encode, encode
from sealcast.messages.jwk import Jwk
from sealcast.messages.material import key_material, read_key
from sealcast.messages.operation import Operation
from sealcast.receiver.values import FetchRequest
from sealcast.sender.actions import GenerateKey, PublishKey, RenewLease, ReportAir
from sealcast.sender.errands import slots_of
from sealcast.testing import SimRandom
from server.inprocess import Guest, InProcess
from server.running import RANDOM, Reply
from simulation.keyserver import Answer, Done, Heard, LeaseAsk, LeaseGiven, Question
from simulation.parts import SIGNER

PARTS = 1_000_000


@dataclass(frozen=True, slots=True)
class Granted:
    """A device was given keys that lead to `epoch`; whether the answer arrived is another question."""

    at_ms: int
    device: str
    epoch: int


class RealKeyServer:
    """Answers for one channel. Each asker is known by its name up to `/`: what follows counts its starts."""

    def __init__(
        self, inner: InProcess, spec: ChannelSpec, parties: Mapping[str, Guest], loss: float, seed: int
    ) -> None:
        self.granted: list[Granted] = []
        self.aired: dict[int, int] = {}
        """When the key server first heard that an epoch is on air."""
        self.causes: dict[int, str] = {}
        self.told: dict[int, tuple[int, int]] = {}
        """Packets and bytes under each epoch, as the last report of them that was heard said."""
        self.follows: dict[int, int] = {}
        """Of chained keys, the epoch before."""
        self.lost = self.repeated = 0
        self._inner, self._spec, self._parties = inner, spec, parties
        self._loss, self._random = loss, SimRandom(f"lines/{seed}")

    def answer(self, question: Question, now: int, asker: str = "") -> Answer | None:
        """Ask the real one; None where the request or its answer was lost."""
        self._inner.clock.advance_to(now)
        party = self._parties[asker.partition("/")[0]]
        if not isinstance(question, LeaseAsk) and self._is_so():
            self.lost += 1
            return None
        answer = self._inner.run(self._ask(party, question))
        if not isinstance(question, LeaseAsk) and self._is_so():
            self.lost += 1
            return None
        return answer

    @property
    def now_ms(self) -> int:
        """The key server's wall clock."""
        return self._inner.clock.wall_ns() // NS_PER_MS

    def leading_to(self, device: str) -> list[tuple[int, set[int]]]:
        """Return when a device was given what leads to which epochs, by following from key to key."""
        return [(each.at_ms, self._followed(each.epoch)) for each in self.granted if each.device == device]

    def _followed(self, epoch: int) -> set[int]:
        found = {epoch}
        for after in sorted(self.follows):
            if self.follows[after] in found:
                found.add(after)
        return found

    def _is_so(self) -> bool:
        return self._random.below(PARTS) < self._loss * PARTS

    async def _ask(self, party: Guest, question: Question) -> Answer:
        party.nonce = ""  # It may have grown old.
        channel = str(self._spec.number)
        match question:
            case LeaseAsk() | RenewLease():
                reply = await self._post(
                    party, operations.LEASE, channel=channel, first_unused=question.first_unused
                )
            case PublishKey(tek=tek):
                sealed = jose.seal(
                    encode(key_material(tek)),
                    party.credential.server_kek,
                    kid="keyserver",
                    typ=jose.TYP_SEALED_KEY,
                )
                self._note_origin(tek)
                reply = await self._post(
                    party, operations.PUBLISH, channel=channel, epoch=tek.key_id.epoch, sealed_key=sealed
                )
            case ReportAir():
                reply = await self._post(party, operations.ON_AIR, channel=channel, **_air_fields(question))
            case FetchRequest():
                reply = await self._post(
                    party,
                    operations.KEYS,
                    channel=question.channel,
                    key_id=question.key_id,
                    held=list(question.held),
                )
            case GenerateKey():
                raise AssertionError("the sender makes its keys")
        if reply.status != 200:
            return RefusedError(reply.problem, reply.detail)
        return self._read(party, question, reply)

    async def _post(self, party: Guest, operation: Operation, **fields: object) -> Reply:
        """Send one signed request, one time in five twice: a line that stutters."""
        await party.fetch_nonce()
        token = party.token(operation, jti=b64url_encode(RANDOM.bytes(16)), **fields)
        reply = await party.post(operation, token)
        if self._is_so():
            self.repeated += 1
            again = await party.post(operation, token)
            assert again.status == reply.status
        return reply

    def _read(self, party: Guest, question: Question, reply: Reply) -> Answer:
        match question, reply.answer:
            case ((LeaseAsk() | RenewLease()), LeaseAnswer() as lease):
                return LeaseGiven(slots_of(lease), tuple(read_key(each) for each in lease.published))
            case ReportAir(), AirAnswer(fence=fence):
                self._note_report(question)
                return Heard(fence)
            case FetchRequest(), Grant() as grant:
                self._note_grant(party.credential.id, grant)
                return grant
        return Done()

    def _note_report(self, report: ReportAir) -> None:
        self.aired.setdefault(int(report.epoch), self.now_ms)
        self.causes.setdefault(int(report.epoch), report.cause.value)
        for each in report.totals:
            known = self.told.get(int(each.epoch), (0, 0))
            self.told[int(each.epoch)] = max(known, (each.packets, each.bytes))

    def _note_grant(self, device: str, grant: Grant) -> None:
        for key in grant.keys:
            epoch = KeyId.parse(key.material.key_id).epoch
            self.granted.append(Granted(self.now_ms, device, int(epoch)))

    def _note_origin(self, tek: Tek) -> None:
        if tek.origin is not None and tek.origin.follows is not None:
            self.follows[int(tek.key_id.epoch)] = int(tek.origin.follows.epoch)


def _air_fields(report: ReportAir) -> dict[str, object]:
    names = ("ssrc", "epoch", "remaining_ms", "lifetime_ms", "extended", "roc", "seq", "ended")
    totals = [
        {"epoch": each.epoch, "duration_ms": each.duration_ms, "packets": each.packets, "bytes": each.bytes}
        for each in report.totals
    ]
    return {name: getattr(report, name) for name in names} | {"cause": report.cause.value, "totals": totals}


def studio_keys() -> Jwk:
    """Return the signing key of the simulated senders, as a registration carries it."""
    public = b64url_encode(SIGNER.public_key().public_bytes_raw())
    return Jwk(kty="OKP", crv="Ed25519", x=public, d=b64url_encode(SIGNER.private_bytes_raw()))


def charged(server: RealKeyServer, device: str, erased_ms: list[int]) -> list[int]:
    """Return the epochs that a device owes: on air, its key given, and not destroyed before it was on air.

    `erased_ms` is when its statements arrived. Worked out from the test's own record alone.
    """
    owed = {
        epoch
        for given_ms, epochs in server.leading_to(device)
        for epoch in epochs & set(server.aired)
        if not any(given_ms <= at_ms <= server.aired[epoch] for at_ms in erased_ms)
    }
    return sorted(owed)


def key_epochs(server: RealKeyServer, epochs: list[int], lifetime_ms: int) -> int:
    """Return how many key epochs those are: a start that cut another short within its lifetime is none."""
    begun: dict[int, int] = {}
    turn = 0
    for epoch in sorted(server.aired):
        is_cut = turn and server.aired[epoch] - server.aired[turn] < lifetime_ms
        if server.causes[epoch] == "schedule" or not is_cut:
            turn = epoch
        begun[epoch] = turn
    return len({begun[epoch] for epoch in epochs})
