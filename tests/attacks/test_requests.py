"""Attacks on a real key server: requests that are forged, stale, replayed, or about what is another's."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from attacks import digest
from sealcast.keyserver.service_lease import PASSED_OVER_MAX
from sealcast.messages import jose, jwk, nonces, operations
from sealcast.messages.operation import Operation
from sealcast.server.state import load_server_state
from sealcast.transport.system import SystemClock
from server.running import RANDOM, Caller, Reply, Running, material, running

STRANGERS, ROUNDS = 40, 4


@dataclass
class Stage:
    """A key server with epoch 1 of `news` on air, its sender `studio`, another sender, and two devices."""

    server: Running
    directory: Path
    number: int
    ssrc: int
    sender: Caller
    other: Caller
    device: Caller
    neighbour: Caller

    async def refused(self, operation: Operation) -> dict[str, float]:
        """Return how often each problem was the answer to an operation, as the metrics count it."""
        start = f'sealcast_requests_total{{operation="{operation.name}",outcome="'
        found = (line.split('"} ') for line in await self._metrics(start))
        return {outcome: float(count) for outcome, count in found}

    async def units(self) -> float:
        """Return how many units of work the database has done."""
        (count,) = await self._metrics("sealcast_commit_units_sum ")
        return float(count)

    async def _metrics(self, start: str) -> list[str]:
        """Return what follows in the lines of the metrics that start so."""
        session, tls = self.server.operator.session, self.server.operator.tls
        async with session.get(self.server.url + "/metrics", ssl=tls) as response:
            lines = (await response.text()).splitlines()
        return [line.removeprefix(start) for line in lines if line.startswith(start)]

    async def expect_no(
        self, operation: Operation, attack: Callable[[], Awaitable[Reply]], status: int, problem: str
    ) -> Reply:
        """Attack: the answer is the no, it is counted, and not a row changes but audit and repeats."""
        before, counted = digest.database(self.directory), await self.refused(operation)
        reply = await attack()
        assert (reply.status, reply.problem) == (status, problem), reply.detail
        assert reply.detail.strip()
        assert digest.database(self.directory) == before
        after = await self.refused(operation)
        assert after[problem] == counted.get(problem, 0) + 1
        return reply


@asynccontextmanager
async def stage(directory: Path) -> AsyncIterator[Stage]:
    """Run a key server that has something to lose."""
    async with running(directory) as server:
        sender, other = await server.register("studio", "sender"), await server.register("other", "sender")
        added = await server.add_channel("news", senders=["studio"])
        await server.add_channel("sports", port=6000, senders=["other"])
        number = added.channel.number
        lease = await sender.must(operations.LEASE, channel="news")
        for epoch in (1, 2):
            assert (await server.publish(sender, "news", material(number, epoch))).status == 200
        await server.report(sender, "news", lease.slots[0].ssrc, 1)
        devices = [await server.register(name, "device", symmetric=name == "tv") for name in ("tv", "radio")]
        for device in devices:
            await server.operator.must(operations.SUBSCRIBER_ADD, channel="news", device=device.credential.id)
            await device.must(operations.KEYS, channel="news")
            await device.fetch_nonce()
        for each in (sender, other):
            await each.fetch_nonce()
        yield Stage(server, directory, number, lease.slots[0].ssrc, sender, other, *devices)


def on_stage(directory: Path, story: Callable[[Stage], Awaitable[None]]) -> None:
    """Run a story on a fresh stage."""

    async def play() -> None:
        async with stage(directory) as scene:
            await story(scene)

    asyncio.run(play())


def signed_by(caller: Caller, operation: Operation, key: jwk.Jwk, **fields: object) -> str:
    """Return a caller's request under another's key."""
    forger = Caller(
        msgspec.structs.replace(caller.credential, signing=key), caller.url, caller.session, caller.tls
    )
    forger.nonce = caller.nonce
    return forger.token(operation, **fields)


def test_wrong_device_signature(tmp_path: Path) -> None:
    """A request in another's name, under any key but his, is not authenticated."""

    async def story(scene: Stage) -> None:
        keys = [
            jwk.new_oct_key(RANDOM),
            jwk.new_signing_pair(RANDOM),
            jwk.new_p256_pair(RANDOM),
            scene.neighbour.credential.signing,
            scene.device.credential.kek,
        ]
        for device in (scene.device, scene.neighbour):
            for key in keys:
                if key == device.credential.signing:
                    continue
                token = signed_by(device, operations.KEYS, key, channel="news")
                await scene.expect_no(
                    operations.KEYS,
                    lambda token=token: scene.device.post(operations.KEYS, token),
                    401,
                    "not-authenticated",
                )

    on_stage(tmp_path, story)


def test_public_key_as_a_secret(tmp_path: Path) -> None:
    """A MAC made with the public half of a pair is no signature (algorithm confusion)."""

    async def story(scene: Stage) -> None:
        public = scene.neighbour.credential.signing.x
        confused = jwk.Jwk(kty="oct", k=public)
        token = signed_by(scene.neighbour, operations.KEYS, confused, channel="news")
        head, payload, _ = token.split(".")
        unsigned = jose.sign(b"{}", confused, kid="radio", typ=jose.TYP_REQUEST).split(".")[0]
        for forged in (token, f"{head}.{payload}.", f"{unsigned}.{payload}."):
            await scene.expect_no(
                operations.KEYS,
                lambda forged=forged: scene.device.post(operations.KEYS, forged),
                401,
                "not-authenticated",
            )

    on_stage(tmp_path, story)


def test_bit_flips_in_a_request(tmp_path: Path) -> None:
    """A request with one character changed anywhere is refused; the database stays as it is."""

    async def story(scene: Stage) -> None:
        token = scene.device.token(operations.KEYS, channel="news")
        before = digest.database(tmp_path, but=("audit",))
        for at in range(0, len(token), 7):
            changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
            reply = await scene.device.post(operations.KEYS, changed)
            assert reply.problem in {"not-authenticated", "bad-request"}, at
        assert digest.database(tmp_path, but=("audit",)) == before

    on_stage(tmp_path, story)


def test_replayed_request_with_the_same_body(tmp_path: Path) -> None:
    """A request caught and sent again is answered as before, and adds neither a row nor an audit line."""

    async def story(scene: Stage) -> None:
        token = scene.device.token(operations.KEYS, channel="news")
        first = await scene.device.post(operations.KEYS, token)
        assert first.status == 200
        leasing = scene.sender.token(operations.LEASE, channel="news", first_unused=2)
        leased = await scene.sender.post(operations.LEASE, leasing)
        before = digest.database(tmp_path, but=())
        for _ in range(3):
            again = await scene.device.post(operations.KEYS, token)
            assert [key.material for key in again.answer.keys] == [key.material for key in first.answer.keys]
            assert (await scene.sender.post(operations.LEASE, leasing)).answer.slots == leased.answer.slots
        assert digest.database(tmp_path, but=()) == before

    on_stage(tmp_path, story)


def test_replayed_request_with_another_body(tmp_path: Path) -> None:
    """The same id over another request is refused, whatever the other request would have been."""

    async def story(scene: Stage) -> None:
        await scene.device.must(operations.KEYS, channel="news", jti="once")
        before = digest.database(tmp_path, but=())
        reply = await scene.device.ask(operations.KEYS, channel="sports", jti="once")
        assert (reply.status, reply.problem) == (409, "jti-reused")
        assert digest.database(tmp_path, but=()) == before
        assert (await scene.refused(operations.KEYS))["jti-reused"] == 1

    on_stage(tmp_path, story)


def test_request_caught_on_its_way_to_another_operation(tmp_path: Path) -> None:
    """A signed request counts for its operation alone, and for its operator."""

    async def story(scene: Stage) -> None:
        token = scene.sender.token(operations.LEASE, channel="news")
        for operation in (operations.KEYS, operations.PUBLISH, operations.CHANNEL_REMOVE):
            await scene.expect_no(
                operation, lambda to=operation: scene.sender.post(to, token), 400, "bad-request"
            )
        foreign = scene.sender.token(operations.LEASE, channel="news", aud="Another Operator")
        await scene.expect_no(
            operations.LEASE,
            lambda: scene.sender.post(operations.LEASE, foreign),
            401,
            "not-authenticated",
        )

    on_stage(tmp_path, story)


def test_stale_nonce(tmp_path: Path) -> None:
    """Without a nonce, under an old one, one from ahead of time or a forged one nothing is decided."""

    async def story(scene: Stage) -> None:
        key = load_server_state(tmp_path).nonce_key
        wall_ms = SystemClock().wall_ns() // 1_000_000
        stale = [
            "",
            "nonsense!",
            nonces.mint_nonce(key, wall_ms - nonces.NONCE_VALID_MS - 1_000),
            nonces.mint_nonce(key, wall_ms + nonces.NONCE_AHEAD_MS + 60_000),
            nonces.mint_nonce(type(key)(bytes(32)), wall_ms),
        ]
        for nonce in stale:
            token = scene.device.token(operations.KEYS, channel="news", nonce=nonce)
            reply = await scene.expect_no(
                operations.KEYS,
                lambda token=token: scene.device.post(operations.KEYS, token),
                401,
                "use-nonce",
            )
            assert reply.nonce

    on_stage(tmp_path, story)


def test_sender_publishing_another_senders_channel(tmp_path: Path) -> None:
    """Lease, key, key of the server's, report: each is refused to a sender of another channel."""

    async def story(scene: Stage) -> None:
        server, other = scene.server, scene.other
        forged = material(scene.number, 3, fill=0)
        attacks: list[tuple[Operation, Callable[[], Awaitable[Reply]]]] = [
            (operations.LEASE, lambda: other.ask(operations.LEASE, channel="news")),
            (operations.PUBLISH, lambda: server.publish(other, "news", forged)),
            (operations.GENERATE, lambda: other.ask(operations.GENERATE, channel="news", epoch=3)),
            (operations.ON_AIR, lambda: server.report(other, "news", scene.ssrc, 2)),
            (operations.ON_AIR, lambda: server.report(other, "news", scene.ssrc, 1, ended=True)),
        ]
        for operation, attack in attacks:
            await scene.expect_no(operation, attack, 403, "not-your-channel")
        assert (await other.must(operations.LEASE, channel="sports")).slots

    on_stage(tmp_path, story)


def test_a_key_of_another_channel_for_ones_own(tmp_path: Path) -> None:
    """What a sender publishes for its own channel can be no other channel's key ID."""

    async def story(scene: Stage) -> None:
        await scene.other.must(operations.LEASE, channel="sports")
        sealed = jose.seal(
            msgspec.json.encode(material(scene.number, 1, fill=0)),
            scene.other.credential.server_kek,
            kid="keyserver",
            typ=jose.TYP_SEALED_KEY,
        )
        await scene.expect_no(
            operations.PUBLISH,
            lambda: scene.other.ask(operations.PUBLISH, channel="sports", epoch=1, sealed_key=sealed),
            400,
            "bad-request",
        )

    on_stage(tmp_path, story)


@pytest.mark.parametrize("claimed", [17 + PASSED_OVER_MAX + 1, 2**32 - 2])
def test_sender_burning_a_channels_epochs(tmp_path: Path, claimed: int) -> None:
    """A sender that claims to have used nearly all epochs is refused, and its slots are as they were."""

    async def story(scene: Stage) -> None:
        await scene.expect_no(
            operations.LEASE,
            lambda: scene.sender.ask(operations.LEASE, channel="news", first_unused=claimed),
            400,
            "bad-request",
        )
        lease = await scene.sender.must(operations.LEASE, channel="news", first_unused=2)
        assert lease.slots[0].epoch == 2

    on_stage(tmp_path, story)


def test_device_asking_for_what_it_did_not_subscribe_to(tmp_path: Path) -> None:
    """Keys of another channel, another role's operations: refused, and no grant is recorded."""

    async def story(scene: Stage) -> None:
        device = scene.device
        await scene.expect_no(
            operations.KEYS, lambda: device.ask(operations.KEYS, channel="sports"), 403, "not-subscribed"
        )
        for operation, fields in (
            (operations.SUBSCRIBER_ADD, {"channel": "sports", "device": "tv"}),
            (operations.LEASE, {"channel": "news"}),
            (operations.CHANNEL_REMOVE, {"channel": "news"}),
        ):
            await scene.expect_no(
                operation, lambda to=operation, more=fields: device.ask(to, **more), 403, "wrong-role"
            )

    on_stage(tmp_path, story)


def test_flood_of_unknown_callers(tmp_path: Path) -> None:
    """Requests by parties that do not exist leave no row, cost one read each, and others are served."""

    async def story(scene: Stage) -> None:
        before = digest.database(tmp_path, but=())
        stranger = jwk.new_signing_pair(RANDOM)
        payload = jose.verify(
            scene.neighbour.token(operations.KEYS, channel="news"),
            scene.neighbour.credential.signing.public(),
            typ=jose.TYP_REQUEST,
        )
        tokens = [
            jose.sign(payload, stranger, kid=f"stranger {number}", typ=jose.TYP_REQUEST)
            for number in range(STRANGERS)
        ]
        units = await scene.units()
        for _ in range(ROUNDS):
            replies = await asyncio.gather(*(scene.device.post(operations.KEYS, token) for token in tokens))
            assert {(reply.status, reply.problem) for reply in replies} == {(401, "not-authenticated")}
        # One read each, however often they ask; the record of receptions has a few units of its own.
        assert units + STRANGERS <= await scene.units() < units + 2 * STRANGERS
        assert digest.database(tmp_path, but=()) == before
        assert (await scene.refused(operations.KEYS))["not-authenticated"] == ROUNDS * STRANGERS
        await scene.device.must(operations.KEYS, channel="news")

    on_stage(tmp_path, story)
