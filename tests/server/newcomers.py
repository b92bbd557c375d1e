"""Owns newcomers for tests: invitations, and enrolments made by hand from the messages."""

from pathlib import Path
from typing import Any

from sealcast.device.csr import make_csr
from sealcast.device.newkeys import KeyKind, new_keys
from sealcast.messages import operations
from sealcast.messages.enrolment import new_token, token_hash
from server.running import RANDOM, Caller, Reply, Running
from storage.places import connect


async def invite(server: Running, **fields: Any) -> str:
    """Invite somebody and return the token."""
    token = new_token(RANDOM)
    await server.operator.must(operations.INVITE, token_hash=token_hash(token), **fields)
    return token


def newcomer(server: Running, kind: KeyKind = KeyKind.SYMMETRIC) -> Caller:
    """Return somebody with fresh keys whom the server does not know yet."""
    return server.newcomer(*new_keys(kind, RANDOM))


def keys_of(caller: Caller) -> dict[str, Any]:
    """Return the keys as an enrolment carries them: sealed secrets, or a CSR and the public KEK."""
    credential = caller.credential
    if credential.signing.kty == "oct":
        return {"sealed_keys": caller.sealed_keys()}
    return {"csr": make_csr(credential.signing), "kek": credential.kek.public()}


async def enrol(caller: Caller, token: str, **fields: Any) -> Reply:
    """Ask to be enrolled."""
    return await caller.ask(operations.ENROL, **{"token": token, **keys_of(caller), **fields})


async def enrolled(server: Running, kind: KeyKind = KeyKind.SYMMETRIC, **invitation: Any) -> Caller:
    """Invite and enrol a fresh party and return its side."""
    caller = newcomer(server, kind)
    reply = await enrol(caller, await invite(server, **invitation))
    assert reply.status == 200, (reply.problem, reply.detail)
    return caller.renamed(reply.answer.id, reply.answer.role)


def change(directory: Path, statement: str, *values: Any) -> None:
    """Change the database behind the server's back, as the passing of time would."""
    with connect(directory / "keyserver.sqlite") as database:
        database.execute(statement, values)
    database.close()


def rows(directory: Path, query: str) -> list[Any]:
    """Return what is on disk."""
    with connect(directory / "keyserver.sqlite") as database:
        found = database.execute(query).fetchall()
    database.close()
    return found
