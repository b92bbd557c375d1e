"""Shows who may ask, how fresh a request must be, and that it counts once."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from sealcast.core.secret import Secret
from sealcast.messages import jose, jwk, nonces, operations
from sealcast.messages.channels import ChannelData
from sealcast.messages.encoding import MESSAGE_BYTES_MAX, decode
from sealcast.messages.problems import HEADER_NONCE, Problem
from sealcast.server.state import load_server_state
from sealcast.transport.system import SystemClock
from server.running import RANDOM, Caller, running
from storage.places import connect

NEWS = ChannelData(name="news", group="239.1.2.3", port=5004)


def count(directory: Path, table: str) -> int:
    """Return how many rows a table has on disk."""
    with connect(directory / "keyserver.sqlite") as database:
        (found,) = database.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - names of ours
    database.close()
    return int(found)


def test_stale_and_foreign_nonces_bring_a_fresh_one(tmp_path: Path) -> None:
    """A request under no, a forged or an old nonce is told `use-nonce`, with a nonce that then works."""

    async def story() -> None:
        async with running(tmp_path) as server:
            key = load_server_state(tmp_path).nonce_key
            wall_ms = SystemClock().wall_ns() // 1_000_000
            old = nonces.mint_nonce(key, wall_ms - nonces.NONCE_VALID_MS - 1_000)
            forged = nonces.mint_nonce(Secret(bytes(32)), wall_ms)
            for nonce in ("", "nonsense!", old, forged):
                server.operator.nonce = nonce
                reply = await server.operator.post(
                    operations.CHANNEL_LIST, server.operator.token(operations.CHANNEL_LIST)
                )
                assert (reply.status, reply.problem) == (401, "use-nonce")
                server.operator.nonce = reply.nonce
                assert (await server.operator.ask(operations.CHANNEL_LIST)).status == 200

    asyncio.run(story())


def test_every_answer_carries_a_nonce(tmp_path: Path) -> None:
    """Whoever asked once need not fetch nonces: yes and no both bring the next."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.operator.fetch_nonce()
            for _ in range(3):
                assert (await server.operator.ask(operations.CHANNEL_LIST)).status == 200
                assert (await server.operator.ask(operations.CHANNEL_SHOW, channel="none")).status == 404

    asyncio.run(story())


def test_only_the_right_role_is_served(tmp_path: Path) -> None:
    """A device does not add channels, an operator gets no keys, a sender no lists."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            device = await server.register("tv", "device")
            sender = await server.register("studio", "sender")
            refused = [
                await device.ask(operations.CHANNEL_ADD, channel=NEWS),
                await device.ask(operations.LEASE, channel="news"),
                await server.operator.ask(operations.KEYS, channel="news"),
                await sender.ask(operations.SUBSCRIBER_LIST),
            ]
            assert {(reply.status, reply.problem) for reply in refused} == {(403, "wrong-role")}

    asyncio.run(story())


def test_what_is_not_signed_by_a_known_party_is_refused(tmp_path: Path) -> None:
    """Unknown signers, other keys, other kinds of token and claims for others all end the same way."""

    async def story() -> None:
        async with running(tmp_path) as server:
            operator = server.operator
            await operator.fetch_nonce()
            good = operator.token(operations.CHANNEL_LIST)
            payload = jose.verify(good, operator.credential.signing.public(), typ=jose.TYP_REQUEST)
            other = jwk.new_signing_pair(RANDOM)
            signing = operator.credential.signing
            tokens = [
                jose.sign(payload, other, kid="operator", typ=jose.TYP_REQUEST),
                jose.sign(payload, other, kid="stranger", typ=jose.TYP_REQUEST),
                jose.sign(payload, jwk.new_oct_key(RANDOM), kid="operator", typ=jose.TYP_REQUEST),
                jose.sign(payload, signing, kid="operator", typ=jose.TYP_ANSWER),
                jose.sign(payload, signing, kid="keyserver", typ=jose.TYP_REQUEST),
                good[:-4] + ("AAAA" if not good.endswith("AAAA") else "BBBB"),
                operator.token(operations.CHANNEL_LIST, aud="Another Operator"),
            ]
            for token in tokens:
                reply = await operator.post(operations.CHANNEL_LIST, token)
                assert (reply.status, reply.problem) == (401, "not-authenticated")

    asyncio.run(story())


def test_malformed_requests_are_refused(tmp_path: Path) -> None:
    """Garbage, a request for another operation, unknown fields, absurd ids: bad requests, not faults."""

    async def story() -> None:
        async with running(tmp_path) as server:
            operator = server.operator
            await operator.fetch_nonce()
            signing = operator.credential.signing
            bodies: list[str | bytes] = [
                b"",
                b"\xff\x00 garbage",
                "a.b.c",
                jose.sign(b"{}", signing, kid="operator", typ=jose.TYP_REQUEST),
                jose.sign(b"[" * 100_000, signing, kid="operator", typ=jose.TYP_REQUEST),
                operator.token(operations.CHANNEL_LIST, op="channel-remove"),
                operator.token(operations.CHANNEL_LIST, jti="j" * 65),
                operator.token(operations.CHANNEL_ADD, channel=NEWS, op="channel-list"),
            ]
            for body in bodies:
                reply = await operator.post(operations.CHANNEL_LIST, body)
                assert (reply.status, reply.problem) == (400, "bad-request"), body

    asyncio.run(story())


def test_http_errors_are_problems_too(tmp_path: Path) -> None:
    """Unknown paths, wrong methods and bodies too large are problem details, without a traceback."""

    async def story() -> None:
        async with running(tmp_path) as server:
            session, tls = server.operator.session, server.operator.tls
            tries = [
                ("GET", "/v1/nothing", b"", 404),
                ("GET", "/v1/keys", b"", 405),
                ("POST", "/v1/keys", b"x" * (MESSAGE_BYTES_MAX + 1), 413),
            ]
            for method, path, body, status in tries:
                async with session.request(method, server.url + path, data=body, ssl=tls) as response:
                    assert response.status == status
                    assert response.content_type == "application/problem+json"
                    text = await response.read()
                    assert decode(text, Problem).status == status
                    assert b"Traceback" not in text

    asyncio.run(story())


async def same(caller: Caller, token: str) -> tuple[int, str, object]:
    """Send a token and return the decision: status, problem, answer."""
    reply = await caller.post(operations.CHANNEL_ADD, token)
    return reply.status, reply.problem, reply.answer


def test_replayed_request_gets_the_same_decision(tmp_path: Path) -> None:
    """The same request again adds nothing and is answered alike; so is a no, even if the reason has gone."""

    async def story() -> None:
        async with running(tmp_path) as server:
            operator = server.operator
            await operator.fetch_nonce()
            adding = operator.token(operations.CHANNEL_ADD, channel=NEWS)
            first = await same(operator, adding)
            assert first[0] == 200
            rows = (count(tmp_path, "channels"), count(tmp_path, "audit"), count(tmp_path, "requests"))
            assert [await same(operator, adding) for _ in range(3)] == [first] * 3
            clash = operator.token(operations.CHANNEL_ADD, channel=NEWS)
            assert (await same(operator, clash))[:2] == (409, "exists")
            assert (count(tmp_path, "channels"), count(tmp_path, "audit")) == rows[:2]
            assert count(tmp_path, "requests") == rows[2] + 1
            await operator.must(operations.CHANNEL_REMOVE, channel="news")
            assert (await same(operator, clash))[:2] == (409, "exists")
            assert (await same(operator, adding)) == first
            assert (await operator.must(operations.CHANNEL_LIST)).channels == []

    asyncio.run(story())


def test_retry_under_a_new_nonce_is_the_same_request(tmp_path: Path) -> None:
    """A client whose nonce ran out signs again with the same jti: still one request."""

    async def story() -> None:
        async with running(tmp_path) as server:
            operator = server.operator
            await operator.fetch_nonce()
            first = await same(operator, operator.token(operations.CHANNEL_ADD, channel=NEWS, jti="once"))
            await operator.fetch_nonce()
            again = await same(operator, operator.token(operations.CHANNEL_ADD, channel=NEWS, jti="once"))
            assert first == again
            assert count(tmp_path, "channels") == 1

    asyncio.run(story())


def test_jti_belongs_to_one_request_of_one_caller(tmp_path: Path) -> None:
    """The same jti over another body is refused; another caller may use it."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            await server.operator.must(operations.CHANNEL_SHOW, channel="news", jti="mine")
            other = await server.operator.ask(operations.CHANNEL_SHOW, channel="other", jti="mine")
            assert (other.status, other.problem) == (409, "jti-reused")
            sender = await server.register("studio", "sender", channels=["news"])
            await sender.must(operations.LEASE, channel="news", jti="mine")

    asyncio.run(story())


def test_old_requests_are_forgotten(tmp_path: Path) -> None:
    """Requests older than any valid nonce leave the table, so that it stays small."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.operator.must(operations.CHANNEL_LIST)
            with connect(tmp_path / "keyserver.sqlite") as database:
                rows = [("x", f"j{i}", b"d", b"d", 5) for i in range(500)]
                database.executemany("INSERT INTO requests VALUES (?, ?, ?, ?, ?)", rows)
            database.close()
            await asyncio.sleep(1.1)
            await server.operator.must(operations.CHANNEL_LIST)
            assert count(tmp_path, "requests") == 2

    asyncio.run(story())


def test_answers_and_metrics_show_no_insides(tmp_path: Path) -> None:
    """A fault of ours is told as `internal` with a nonce, without SQL or names of code; metrics count it."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.operator.must(operations.CHANNEL_LIST)
            with connect(tmp_path / "keyserver.sqlite") as database:
                database.execute("DROP TABLE subscriptions")
            database.close()
            session, tls = server.operator.session, server.operator.tls
            token = server.operator.token(operations.SUBSCRIBER_LIST)
            async with session.post(
                server.url + operations.SUBSCRIBER_LIST.path, data=token, ssl=tls
            ) as response:
                text = await response.text()
                assert response.status == 500
                assert response.headers[HEADER_NONCE]
            assert "urn:sealcast:problem:internal" in text
            assert not any(word in text for word in ("SELECT", "subscriptions", "sqlite", "Error"))
            async with session.get(server.url + "/metrics", ssl=tls) as response:
                metrics = await response.text()
            assert 'sealcast_requests_total{operation="subscriber-list",outcome="internal"} 1.0' in metrics
            assert 'sealcast_requests_total{operation="channel-list",outcome="ok"} 1.0' in metrics
            assert "sealcast_commit_units_count" in metrics

    asyncio.run(story())


def test_api_describes_itself(tmp_path: Path) -> None:
    """OpenAPI lists every operation with the schema of its payload; no page fetches scripts."""

    async def story() -> None:
        async with running(tmp_path) as server:
            session, tls = server.operator.session, server.operator.tls
            async with session.get(server.url + "/schema/openapi.json", ssl=tls) as response:
                text = await response.read()
            for page in ("swagger", "redoc", "elements"):
                async with session.get(f"{server.url}/schema/{page}", ssl=tls) as response:
                    assert response.status == 404
            async with session.get(server.url + "/healthz", ssl=tls) as response:
                assert (response.status, await response.json()) == (200, {"status": "ok"})
        document = msgspec.json.decode(text)
        for operation in operations.ALL:
            described = document["paths"][operation.path]["post"]
            body = described["requestBody"]["content"]["application/jose"]["schema"]["$ref"]
            schema = document["components"]["schemas"][body.rsplit("/", 1)[-1]]
            assert {"aud", "op", "jti", "nonce"} <= set(schema["properties"])
            assert described["operationId"] == operation.name

    asyncio.run(story())


@pytest.mark.parametrize("symmetric", [True, False])
def test_devices_of_both_kinds_are_known_after_a_restart(tmp_path: Path, symmetric: bool) -> None:  # noqa: FBT001 - a parameter
    """A registered device is verified and sealed to by its own keys, read back from the database."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            device = await server.register("tv", "device", symmetric=symmetric)
            await server.operator.must(operations.SUBSCRIBER_ADD, channel="news", device="tv")
            credential, operator = device.credential, server.operator.credential
        async with running(tmp_path, operator) as server:
            grant = await server.caller(credential).must(operations.KEYS, channel="news")
            assert grant.channel.name == "news"

    asyncio.run(story())
