"""Shows what a party may rely on when it asks its key servers."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import web
from msgspec.structs import replace

from client.small_server import Authority, OsRandom, SmallServer
from sealcast.client import KeyServerClient, limits
from sealcast.core.errors import AuthenticationError, FormatError, RefusedError, UnreachableError
from sealcast.device.vault import Credential
from sealcast.messages import answers, jwk, operations

RANDOM = OsRandom()
LEASE = {"channel": "news", "first_unused": 0}
DAY_MS = 86_400_000


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Return the operator's CA."""
    return Authority("operator CA")


class Stage:
    """A server, a credential that fits it, and a client made at need."""

    def __init__(
        self, authority: Authority, folder: Path, *, pairs: bool = True, host: str = "127.0.0.1"
    ) -> None:
        server_key = jwk.new_signing_pair(RANDOM)
        self.credential = Credential(
            role="sender" if pairs else "device",
            id="studio-1",
            operator="op",
            signing=jwk.new_signing_pair(RANDOM) if pairs else jwk.new_oct_key(RANDOM),
            kek=jwk.new_sealing_pair(RANDOM) if pairs else jwk.new_oct_key(RANDOM),
            ca_pem=authority.pem,
            servers=[],
            server_key=server_key.public(),
            server_kek=jwk.new_sealing_pair(RANDOM).public(),
        )
        self.server = SmallServer(authority.server_context(folder, host), server_key, self.credential)

    def client(self, *before: str, **changes: object) -> KeyServerClient:
        """Return a client of the running server, which knows the servers `before` it first."""
        credential = replace(self.credential, servers=[*before, self.server.url], **changes)
        return KeyServerClient(credential, RANDOM)


async def lease_once(stage: Stage, *before: str, **changes: object) -> answers.LeaseAnswer:
    """Start the server, ask for a lease and return the answer."""
    async with stage.server, stage.client(*before, **changes) as client:
        return await client.expect(operations.LEASE, answers.LeaseAnswer, **LEASE)


@pytest.mark.parametrize("pairs", [True, False])
def test_sealed_answer(authority: Authority, tmp_path: Path, *, pairs: bool) -> None:
    """A sealed answer opens for a party with key pairs and for a symmetric one alike."""
    answer = asyncio.run(lease_once(Stage(authority, tmp_path, pairs=pairs)))
    assert answer.channel.number == 7


def test_nonce_is_fetched_kept_and_renewed(authority: Authority, tmp_path: Path) -> None:
    """The first call repeats for a nonce under one jti; later ones use the kept nonce until it is old."""

    async def story() -> list[str]:
        stage = Stage(authority, tmp_path)
        async with stage.server, stage.client() as client:
            for _ in range(3):
                await client.call(operations.LEASE, **LEASE)
            stage.server.now_ms = DAY_MS
            await client.call(operations.LEASE, **LEASE)
        return stage.server.jtis

    jtis = asyncio.run(story())
    assert jtis[0] == jtis[1]
    assert jtis[4] == jtis[5]
    assert len(set(jtis)) == 4


def test_use_nonce_for_ever_is_bounded(authority: Authority, tmp_path: Path) -> None:
    """A server that never accepts its own nonce is asked twice, not for ever."""
    stage = Stage(authority, tmp_path)

    async def never(_: web.Request) -> web.StreamResponse:
        return stage.server.refuse("use-nonce", "no")

    stage.server.before = never
    with pytest.raises(RefusedError) as caught:
        asyncio.run(lease_once(stage))
    assert caught.value.type == "use-nonce"
    assert len(stage.server.jtis) == 2


def test_plain_answers(authority: Authority, tmp_path: Path) -> None:
    """An answer without secrets comes as JSON and is checked against its type."""

    async def story() -> None:
        stage = Stage(authority, tmp_path)
        async with stage.server, stage.client() as client:
            listed = await client.expect(operations.CHANNEL_LIST, answers.ChannelList)
            assert listed.channels == []
            with pytest.raises(TypeError):
                await client.expect(operations.CHANNEL_LIST, answers.Done)

    asyncio.run(story())


def test_refusal_carries_the_reason(authority: Authority, tmp_path: Path) -> None:
    """A no arrives with its type, one line of detail, the status and when to come back."""
    stage = Stage(authority, tmp_path)

    async def no(_: web.Request) -> web.StreamResponse:
        return stage.server.refuse("not-your-channel", "news belongs\nto studio-2")

    stage.server.before = no
    with pytest.raises(RefusedError) as caught:
        asyncio.run(lease_once(stage))
    error = caught.value
    assert (error.type, error.detail, error.status) == ("not-your-channel", "news belongs to studio-2", 403)
    assert error.retry_after_s == 2


def test_a_busy_server_is_asked_again_when_it_says(authority: Authority, tmp_path: Path) -> None:
    """After `busy` with Retry-After the same call asks once more, that much later, and gets its answer."""
    stage = Stage(authority, tmp_path)
    asked: list[float] = []

    async def busy_once(_: web.Request) -> web.StreamResponse | None:
        asked.append(asyncio.get_running_loop().time())
        return stage.server.refuse("busy", "too many requests wait") if len(asked) == 1 else None

    stage.server.before = busy_once
    asyncio.run(lease_once(stage))
    assert asked[1] - asked[0] >= 1.9


def test_answers_that_are_not_ours(authority: Authority, tmp_path: Path) -> None:
    """Another request's answer, another signer's and one that our key does not open are refused."""
    stage = Stage(authority, tmp_path)
    stage.server.answer_jti = "somebody else's"
    with pytest.raises(AuthenticationError, match="another request"):
        asyncio.run(lease_once(stage))
    stage = Stage(authority, tmp_path)
    stage.server.answer_signer = jwk.new_signing_pair(RANDOM)
    with pytest.raises(AuthenticationError):
        asyncio.run(lease_once(stage))
    stage = Stage(authority, tmp_path)
    with pytest.raises(AuthenticationError):
        asyncio.run(lease_once(stage, kek=jwk.new_sealing_pair(RANDOM)))


def answer_with(
    body: bytes, status: int = 200, **headers: str
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return a handler that always answers the same."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers=headers)

    return handler


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (b"", 200, AuthenticationError),
        (b"\xff" * 1000, 200, AuthenticationError),
        (b"x" * 300_000, 200, FormatError),
        (b"<html>", 404, RefusedError),
        (b"<html>", 502, RefusedError),
        (b"", 302, RefusedError),
        (b'{"type": 1}', 400, RefusedError),
    ],
)
def test_garbage(
    authority: Authority, tmp_path: Path, body: bytes, status: int, kind: type[Exception]
) -> None:
    """Garbage, too much of it, a page of another server and a redirect end in our own errors."""
    stage = Stage(authority, tmp_path)
    stage.server.before = answer_with(body, status, Location="https://elsewhere.example/")
    with pytest.raises(kind) as caught:
        asyncio.run(lease_once(stage))
    assert "\n" not in str(caught.value)


def dead_url() -> str:
    """Return the address of a port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"https://127.0.0.1:{probe.getsockname()[1]}"


def test_failover_is_sticky(authority: Authority, tmp_path: Path) -> None:
    """The first server that answers is asked first from then on."""

    async def story() -> None:
        stage = Stage(authority, tmp_path)
        dead = dead_url()
        async with stage.server, stage.client(dead) as client:
            assert client.server == dead
            await client.call(operations.LEASE, **LEASE)
            assert client.server == stage.server.url
            client.use_servers([dead, stage.server.url])
            assert client.server == stage.server.url
            # An address that an operator forgot to announce is not given up while it answers.
            client.use_servers([dead])
            await client.call(operations.LEASE, **LEASE)
            assert client.server == stage.server.url

    asyncio.run(story())


def test_failover_from_a_broken_server(authority: Authority, tmp_path: Path) -> None:
    """A server that answers with its own fault is passed over, and the jti stays the same."""

    async def story() -> None:
        broken, sound = Stage(authority, tmp_path), Stage(authority, tmp_path)
        sound.server.credential, sound.server.answer_signer = broken.credential, broken.server.server_key
        broken.server.before = answer_with(b"", 503)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(broken.server)
            await stack.enter_async_context(sound.server)
            credential = replace(broken.credential, servers=[broken.server.url, sound.server.url])
            client = await stack.enter_async_context(KeyServerClient(credential, RANDOM))
            await client.call(operations.LEASE, **LEASE)
        assert {*broken.server.jtis} == {*sound.server.jtis}

    asyncio.run(story())


def test_lost_answer_is_asked_again(authority: Authority, tmp_path: Path) -> None:
    """A connection broken after the request is repeated under the same jti, so it counts once."""
    stage = Stage(authority, tmp_path)

    async def break_first(request: web.Request) -> None:
        if len(stage.server.jtis) == 1 and request.transport is not None:
            request.transport.close()

    stage.server.before = break_first
    asyncio.run(lease_once(stage))
    assert len(stage.server.jtis) > 1
    assert len(set(stage.server.jtis)) == 1


def test_unreachable(authority: Authority, tmp_path: Path) -> None:
    """Without any server the error names the address and is over quickly."""
    stage = Stage(authority, tmp_path)

    async def story() -> None:
        stage.server.url = dead_url()
        async with stage.client() as client:
            with pytest.raises(UnreachableError, match=stage.server.url):
                await client.call(operations.LEASE, **LEASE)

    asyncio.run(story())


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "keys.example", "", "https://"])
def test_only_https(authority: Authority, tmp_path: Path, address: str) -> None:
    """An address without https is never asked."""
    stage = Stage(authority, tmp_path)

    async def story() -> None:
        stage.server.url = address
        async with stage.client() as client:
            with pytest.raises(UnreachableError, match="not the address of a key server"):
                await client.call(operations.LEASE, **LEASE)

    asyncio.run(story())


def test_other_authority(authority: Authority, tmp_path: Path) -> None:
    """A server under another CA is not asked, and the line says what to look at."""
    stage = Stage(authority, tmp_path)
    with pytest.raises(UnreachableError, match="not by this operator's CA"):
        asyncio.run(lease_once(stage, ca_pem=Authority("other CA").pem))
    assert stage.server.jtis == []


def test_other_host(authority: Authority, tmp_path: Path) -> None:
    """A certificate for another host is refused."""
    stage = Stage(authority, tmp_path, host="10.1.2.3")
    with pytest.raises(UnreachableError, match="for another host"):
        asyncio.run(lease_once(stage))
    assert stage.server.jtis == []


def test_expired_certificate(authority: Authority, tmp_path: Path) -> None:
    """A certificate out of date is refused."""
    stage = Stage(authority, tmp_path)
    stage.server.tls = authority.server_context(tmp_path, expired=True)
    with pytest.raises(UnreachableError, match="out of date"):
        asyncio.run(lease_once(stage))


def test_system_store_is_not_trusted(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CA that the system trusts, named by SSL_CERT_FILE, opens nothing."""
    stage = Stage(authority, tmp_path)
    store = tmp_path / "store.pem"
    store.write_text(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(store))
    with pytest.raises(UnreachableError, match="not by this operator's CA"):
        asyncio.run(lease_once(stage, ca_pem=Authority("pinned CA").pem))


def test_unreadable_authority(authority: Authority, tmp_path: Path) -> None:
    """A credential whose CA is no certificate is refused before anything is sent."""
    with pytest.raises(FormatError, match="enrol again"):
        asyncio.run(lease_once(Stage(authority, tmp_path), ca_pem="not a certificate"))


def test_no_server(authority: Authority, tmp_path: Path) -> None:
    """A credential without a server is refused."""
    with pytest.raises(FormatError, match="names no key server"):
        KeyServerClient(Stage(authority, tmp_path).credential, RANDOM)


def test_a_handshake_that_breaks_off(authority: Authority, tmp_path: Path) -> None:
    """A server that ends the connection in its TLS handshake is there all the same: the reason says so."""

    async def story() -> None:
        async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(16_384)
            writer.close()

        credential = Stage(authority, tmp_path).credential
        async with await asyncio.start_server(end, "127.0.0.1", 0) as server:
            url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with KeyServerClient(replace(credential, servers=[url]), RANDOM) as client:
                await client.expect(operations.LEASE, answers.LeaseAnswer, **LEASE)

    with pytest.raises(UnreachableError, match="broke off the connection"):
        asyncio.run(story())


def test_silent_server(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the question and says nothing is given up within the call's limit."""
    monkeypatch.setattr(limits, "CALL_S_MAX", 0.5)
    stage = Stage(authority, tmp_path)

    async def silent(_: web.Request) -> None:
        await asyncio.sleep(1)

    stage.server.before = silent
    with pytest.raises(UnreachableError, match="does not answer in time"):
        asyncio.run(lease_once(stage))
