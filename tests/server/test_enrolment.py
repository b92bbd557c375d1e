"""Shows how newcomers become parties: once, in time, under their own keys, and how parties cease to be."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sealcast.device.newkeys import KeyKind
from sealcast.messages import jose, operations
from sealcast.messages.encoding import b64url_encode, encode
from sealcast.messages.enrolment import INVITATION_S_MAX, Enrolled, new_token, token_hash
from sealcast.messages.jwk import Jwk
from server.newcomers import change, enrol, invite, keys_of, newcomer, rows
from server.running import RANDOM, Caller, Running, client, free_port, make_state, process, running

COUNTS = "SELECT (SELECT count(*) FROM principals), (SELECT count(*) FROM audit WHERE what = 'enrol')"


@pytest.mark.parametrize("kind", KeyKind)
def test_a_device_enrols_and_gets_keys(tmp_path: Path, kind: KeyKind) -> None:
    """Under an invitation each kind of keys makes a subscribed device that is served; pairs are certified."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            caller = newcomer(server, kind)
            reply = await enrol(caller, await invite(server, channels=["news"]))
            assert (reply.status, reply.problem) == (200, ""), reply.detail
            answer: Enrolled = reply.answer
            assert (answer.role, answer.channels) == ("device", ["news"])
            assert (answer.certificates is None) is (kind is KeyKind.SYMMETRIC)
            assert answer.id.startswith("device-")
            device = caller.renamed(answer.id)
            assert (await device.must(operations.KEYS, channel="news")).channel.name == "news"
            (listed,) = (await server.operator.must(operations.REGISTRY_LIST)).entries
            known_by = "symmetric" if kind is KeyKind.SYMMETRIC else "certificate"
            assert (listed.id, listed.role, listed.kind) == (answer.id, "device", known_by)
        assert rows(tmp_path, "SELECT who, subject FROM audit WHERE what = 'enrol'") == [
            (answer.id, f"device {answer.id} invitation 1")
        ]

    asyncio.run(story())


def test_a_sender_enrols_on_its_channel(tmp_path: Path) -> None:
    """An invitation for a sender puts it on the channel's list; its keys must be Ed25519."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            token = await invite(server, role="sender", channels=["news"], id="studio")
            for kind in (KeyKind.SYMMETRIC, KeyKind.P256):
                reply = await enrol(newcomer(server, kind), token)
                assert (reply.status, reply.problem) == (400, "bad-request")
            caller = newcomer(server, KeyKind.ED25519)
            assert (await enrol(caller, token)).answer.id == "studio"
            (row,) = (await server.operator.must(operations.CHANNEL_SHOW, channel="news")).channels
            assert row.senders == ["studio"]
            lease = await caller.renamed("studio", "sender").must(operations.LEASE, channel="news")
            assert lease.slots

    asyncio.run(story())


def test_stolen_invitation_used_twice(tmp_path: Path) -> None:
    """Whoever comes second, with keys of its own, is told so, and nothing changes."""

    async def story() -> None:
        async with running(tmp_path) as server:
            token = await invite(server)
            assert (await enrol(newcomer(server), token)).status == 200
            before = rows(tmp_path, COUNTS)
            thief = await enrol(newcomer(server), token)
            assert (thief.status, thief.problem) == (403, "invitation-used")
            assert rows(tmp_path, COUNTS) == before == [(1, 1)]

    asyncio.run(story())


def test_two_newcomers_at_once(tmp_path: Path) -> None:
    """Of many who bring the same invitation at the same moment exactly one is enrolled."""

    async def story() -> None:
        async with running(tmp_path) as server:
            token = await invite(server)
            callers = [newcomer(server) for _ in range(10)]
            replies = await asyncio.gather(*(enrol(caller, token) for caller in callers))
            assert sorted(reply.problem for reply in replies) == ["", *["invitation-used"] * 9]
            assert rows(tmp_path, COUNTS) == [(1, 1)]

    asyncio.run(story())


@pytest.mark.parametrize("kind", [KeyKind.SYMMETRIC, KeyKind.ED25519])
def test_lost_answer_is_given_again(tmp_path: Path, kind: KeyKind) -> None:
    """A newcomer that asks again with its keys gets the same answer, also late, and is registered once."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            token = await invite(server, channels=["news"])
            caller = newcomer(server, kind)
            first = (await enrol(caller, token, jti="once")).answer
            assert (await enrol(caller, token, jti="once")).answer == first
            change(tmp_path, "UPDATE invitations SET expires_at_ms = 1")
            again = (await enrol(caller, token, jti="twice")).answer
            assert again == msgspec.structs.replace(first, jti="twice")
            assert rows(tmp_path, COUNTS) == [(1, 1)]
            other = newcomer(server, kind)
            mixed = server.newcomer(caller.credential.signing, other.credential.kek)
            assert (await enrol(mixed, token)).problem in {"invitation-used", "bad-request"}
            await server.operator.must(operations.REGISTRY_REMOVE, id=first.id)
            assert (await enrol(caller, token)).problem == "invitation-used"

    asyncio.run(story())


def test_kill_between_enrolment_and_answer(tmp_path: Path) -> None:
    """A server killed while it answers has enrolled the newcomer or not; asking again enrols it once."""

    async def story() -> None:
        port = free_port()
        credential = make_state(tmp_path, port)
        url = f"https://127.0.0.1:{port}"
        async with client(credential, url) as operator:
            server = Running(tmp_path, url, operator)
            async with process(tmp_path, port) as child:
                token = await invite(server)
                caller = newcomer(server)
                await caller.fetch_nonce()
                asked = asyncio.create_task(enrol(caller, token))
                await asyncio.sleep(0.01)
                child.kill()
                await asyncio.gather(asked, return_exceptions=True)
        async with process(tmp_path, port), client(credential, url) as operator:
            caller = Running(tmp_path, url, operator).caller(caller.credential)
            answer = (await enrol(caller, token)).answer
            again = (await enrol(caller, token)).answer
            assert (answer.id, rows(tmp_path, COUNTS)) == (again.id, [(1, 1)])

    asyncio.run(story())


def test_expired_cancelled_and_unknown_invitations(tmp_path: Path) -> None:
    """Each is refused by its own name; strangers leave no trace in the database."""

    async def story() -> None:
        async with running(tmp_path) as server:
            late, withdrawn = await invite(server, valid_s=60), await invite(server)
            change(tmp_path, "UPDATE invitations SET expires_at_ms = 1 WHERE number = 1")
            await server.operator.must(operations.INVITATION_CANCEL, number=2)
            tables = "SELECT (SELECT count(*) FROM requests), (SELECT count(*) FROM audit)"
            before = rows(tmp_path, tables)
            for token, problem in (
                (late, "invitation-expired"),
                (withdrawn, "not-invited"),
                (new_token(RANDOM), "not-invited"),
                ("", "not-invited"),
            ):
                reply = await enrol(newcomer(server), token)
                assert (reply.status, reply.problem) == (403, problem)
            assert rows(tmp_path, tables) == before
            assert rows(tmp_path, "SELECT id FROM principals") == []
            listed = (await server.operator.must(operations.INVITATION_LIST)).invitations
            assert [(row.number, row.state) for row in listed] == [(2, "cancelled"), (1, "expired")]

    asyncio.run(story())


def test_names_of_newcomers(tmp_path: Path) -> None:
    """The invitation's name counts; another is refused, one in use as well, and the invitation stays open."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.register("tv", "device")
            token = await invite(server, id="TV-1")
            wrong = await enrol(newcomer(server), token, id="TV-2")
            assert (wrong.status, wrong.problem) == (403, "not-invited")
            assert "TV-1" in wrong.detail
            named = newcomer(server)
            assert (await enrol(named, token)).answer.id == "TV-1"
            # Asked again under another name, it is told its own: a no would have it throw its keys away.
            assert (await enrol(named, token, id="TV-2")).answer.id == "TV-1"
            free = await invite(server)
            for taken in ("tv", "TV-1", "operator", "keyserver", "newcomer"):
                assert (await enrol(newcomer(server), free, id=taken)).problem == "exists"
            assert (await enrol(newcomer(server), free, id="two words")).problem == "bad-request"
            assert (await enrol(newcomer(server), free, id="own")).answer.id == "own"

    asyncio.run(story())


def bad_enrolments(server: Running) -> list[tuple[str, Caller, dict[str, Any]]]:
    """Return enrolments that must not pass: what is wrong, by whom, with which fields."""
    symmetric, pair = newcomer(server), newcomer(server, KeyKind.ED25519)
    other = newcomer(server, KeyKind.ED25519)
    both = {**keys_of(symmetric), **keys_of(pair)}
    none = {"sealed_keys": None, "csr": None, "kek": None}
    private = {**keys_of(pair), "kek": pair.credential.kek}
    cannot_seal = {**keys_of(pair), "kek": pair.credential.signing.public()}
    small_order = {**keys_of(pair), "kek": Jwk(kty="OKP", crv="X25519", x=b64url_encode(bytes(32)))}
    return [
        ("both forms", pair, both),
        ("neither form", pair, none),
        ("another's request", pair, {"csr": keys_of(other)["csr"]}),
        ("no request", pair, {"csr": "-----BEGIN"}),
        ("a private KEK", pair, private),
        ("a KEK that cannot be sealed to", pair, cannot_seal),
        ("a KEK whose secret everybody knows", pair, small_order),
        ("secrets not sealed to us", symmetric, {"sealed_keys": "a.b.c.d.e"}),
        ("secrets of another", symmetric, keys_of(newcomer(server))),
    ]


def test_keys_that_do_not_do_enrol_nobody(tmp_path: Path) -> None:
    """Wrong forms, other keys than the one that signs, unusable keys: refused; the invitation stays open."""

    async def story() -> None:
        async with running(tmp_path) as server:
            token = await invite(server)
            for what, caller, fields in bad_enrolments(server):
                reply = await enrol(caller, token, **fields)
                assert reply.problem in {"bad-request", "not-authenticated"}, what
            caller = newcomer(server)
            await caller.fetch_nonce()
            token_of_other = jose.sign(
                encode(operations.ENROL.request(aud="x", op="enrol", jti="j", nonce="", token=token)),  # type: ignore[call-arg]
                caller.credential.signing,
                kid="operator",
                typ=jose.TYP_REQUEST,
            )
            assert (await caller.post(operations.ENROL, token_of_other)).problem == "bad-request"
            assert rows(tmp_path, COUNTS) == [(0, 0)]
            assert (await enrol(newcomer(server), token)).status == 200

    asyncio.run(story())


def test_claims_of_newcomers_are_checked(tmp_path: Path) -> None:
    """Another operator, another operation and a stale nonce are refused as for everybody."""

    async def story() -> None:
        async with running(tmp_path) as server:
            token = await invite(server)
            caller = newcomer(server)
            assert (await enrol(caller, token, aud="Another")).problem == "not-authenticated"
            assert (await enrol(caller, token, op="keys")).problem == "bad-request"
            assert (await enrol(caller, token, nonce="")).problem == "use-nonce"
            asking = await caller.ask(operations.KEYS, channel="news")
            assert asking.problem == "not-authenticated"

    asyncio.run(story())


def test_invitations_that_do_not_do(tmp_path: Path) -> None:
    """Names in use, unknown channels, channels of replicas, absurd lives and hashes are refused."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            good = token_hash("t")
            for fields, problem in (
                ({"id": "operator"}, "exists"),
                ({"id": "two words"}, "bad-request"),
                ({"channels": ["none"]}, "unknown-channel"),
                ({"role": "replica", "channels": ["news"]}, "bad-request"),
                ({"valid_s": 0}, "bad-request"),
                ({"valid_s": INVITATION_S_MAX + 1}, "bad-request"),
                ({"token_hash": b"short"}, "bad-request"),
            ):
                reply = await server.operator.ask(operations.INVITE, **{"token_hash": good, **fields})
                assert reply.problem == problem, fields
            assert (await server.operator.must(operations.INVITATION_LIST)).invitations == []
            asked = server.operator.token(operations.INVITE, token_hash=good, jti="i", channels=["news"])
            first, again = [await server.operator.post(operations.INVITE, asked) for _ in range(2)]
            assert first.answer == again.answer
            twice = await server.operator.ask(operations.INVITE, token_hash=good)
            assert twice.problem == "exists"
            of_news = await server.operator.must(operations.INVITATION_LIST, channel="news")
            assert [row.channels for row in of_news.invitations] == [["news"]]

    asyncio.run(story())


def test_channels_that_went_are_left_out(tmp_path: Path) -> None:
    """A channel removed since the invitation is no matter, nor is a new one of its name."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            await server.add_channel("film", port=6000)
            token = await invite(server, channels=["news", "film"])
            await server.operator.must(operations.CHANNEL_REMOVE, channel="news")
            await server.add_channel("news")
            caller = newcomer(server)
            answer = (await enrol(caller, token)).answer
            assert answer.channels == ["film"]
            asked = await caller.renamed(answer.id).ask(operations.KEYS, channel="news")
            assert asked.problem == "not-subscribed"

    asyncio.run(story())


def test_only_a_used_invitation_cannot_be_cancelled(tmp_path: Path) -> None:
    """Cancelling takes effect once, is repeated alike, and does not reach what was used or never was."""

    async def story() -> None:
        async with running(tmp_path) as server:
            operator = server.operator
            assert (await enrol(newcomer(server), await invite(server))).status == 200
            await invite(server)
            cancel = operations.INVITATION_CANCEL
            asked = operator.token(cancel, number=2, jti="c")
            assert [(await operator.post(cancel, asked)).status for _ in range(2)] == [200, 200]
            for number in (1, 2, 3, -1, 2**70):
                reply = await operator.ask(cancel, number=number)
                assert (reply.status, reply.problem) == (404, "unknown-invitation")

    asyncio.run(story())


def test_no_secret_of_an_enrolment_is_in_the_clear_on_disk(tmp_path: Path) -> None:
    """Neither the token nor the secrets of a symmetric device stand in any file of the server."""

    async def story() -> list[str]:
        async with running(tmp_path) as server:
            caller, token = newcomer(server), await invite(server)
            assert (await enrol(caller, token)).status == 200
            return [token, caller.credential.signing.k or "", caller.credential.kek.k or ""]

    secrets = asyncio.run(story())
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert all(secret and secret.encode() not in stored for secret in secrets)


def test_registered_key_pair_is_not_certified(tmp_path: Path) -> None:
    """A party registered by public keys has no certificate to renew, and is told so."""

    async def story() -> None:
        async with running(tmp_path) as server:
            device = await server.register("tv", "device", symmetric=False)
            for caller in (device, server.operator):
                reply = await caller.ask(operations.CERTIFICATE_RENEW)
                assert (reply.status, reply.problem) == (409, "not-certified")

    asyncio.run(story())
