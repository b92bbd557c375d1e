"""Shows, by schemathesis over OpenAPI, that the API is as described, whatever signed requests bring."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from sealcast.messages import operations, problems
from sealcast.messages.encoding import decode
from sealcast.messages.problems import Problem
from sealcast.messages.sealedanswers import open_answer
from server.running import Caller, Running, running
from server.signers import Sent, Signers

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
BY_PATH = {operation.path: operation for operation in operations.ALL}
SHARE_MIN = 0.5
"""Of all cases so many must get past the signature, else only the door was tested."""

EXAMPLES, EXAMPLES_LONG = 6, 200
"""Cases of an operation, of valid and of invalid bodies each."""

REQUEST_S_MAX = 10


@dataclass
class Tally:
    """How the cases ended: how many got past the signature, and the names of all noes."""

    cases: int = 0
    past: int = 0
    ends: Counter[str] = field(default_factory=Counter)

    def note(self, sent: Sent, response: requests.Response, *, is_newcomer: bool) -> None:
        """Count a case; every no must be one of ours, under its status."""
        self.cases += 1
        name = "ok"
        if response.status_code != 200:
            no = decode(response.content, Problem)
            name = problems.problem_name(no.type)
            assert no.type == problems.PROBLEM_PREFIX + name
            assert problems.STATUS_OF[name] == no.status == response.status_code
        # The key of an enrolment comes in its body: a bad body may keep the signature from being looked at.
        at_the_door = {"not-authenticated", "use-nonce", *(["bad-request"] if is_newcomer else [])}
        self.past += name not in at_the_door
        self.ends[name] += 1
        if sent.fault in ("another's signature", "a bit flipped"):
            assert name in at_the_door, sent


class Opener:
    """Opens sealed answers for the checks of the schema: the caller of the present case can."""

    caller: Caller | None = None


schemathesis.serializer.alias(problems.MEDIA_TYPE_JOSE, problems.MEDIA_TYPE_JSON)


@schemathesis.deserializer(problems.MEDIA_TYPE_JOSE)
def _open_sealed(_: object, response: Any) -> object:
    assert Opener.caller is not None
    credential = Opener.caller.credential
    return decode(open_answer(response.content, credential.kek, server_key=credential.server_key), object)


def attack(server: Running, signers: Signers, ca: Path, examples: int) -> Tally:
    """Send cases of all operations that the server's own description lists, and check each answer."""
    tally = Tally()
    with requests.Session() as session:
        session.verify, session.trust_env = str(ca), False
        document = session.get(f"{server.url}/schema/openapi.json", timeout=REQUEST_S_MAX).json()
        schema = schemathesis.openapi.from_dict(document)
        schema.config.update(base_url=server.url)
        described = [each.ok() for each in schema.get_all_operations()]
        assert {each.path for each in described} >= set(BY_PATH)
        for operation in described:
            send = _sender_of_cases(session, server, signers, tally)
            for mode in GenerationMode:
                if mode is GenerationMode.POSITIVE or operation.path in BY_PATH:
                    _run(operation, mode, send, examples)
    return tally


def _run(operation: Any, mode: GenerationMode, send: Callable[..., None], examples: int) -> None:
    count = examples if operation.path in BY_PATH else 1

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), data=st.data())
    def one(case: Any, data: st.DataObject) -> None:
        send(case, data)

    one()


def _sender_of_cases(
    session: requests.Session, server: Running, signers: Signers, tally: Tally
) -> Callable[[Any, st.DataObject], None]:
    """Return what sends one case, signed, and checks the answer against the description."""

    def send(case: Any, data: st.DataObject) -> None:
        operation = BY_PATH.get(case.path)
        if operation is None:
            case.validate_response(session.get(server.url + case.path, timeout=REQUEST_S_MAX), checks=CHECKS)
            return
        sent = signers.sign(operation, case.body, data.draw)
        response = session.post(
            server.url + operation.path,
            data=sent.token.encode(),
            headers={"Content-Type": problems.MEDIA_TYPE_JOSE},
            timeout=REQUEST_S_MAX,
        )
        Opener.caller = sent.caller
        case.validate_response(response, checks=CHECKS)
        signers.nonce = response.headers[problems.HEADER_NONCE]
        tally.note(sent, response, is_newcomer=operation.role == "newcomer")

    return send


def run_attack(folder: Path, examples: int) -> Tally:
    """Attack a new server and return how the cases ended."""

    async def story() -> Tally:
        async with running(folder / "state") as server:
            signers = await Signers.at(server)
            ca = folder / "ca.pem"
            ca.write_text(server.operator.credential.ca_pem)
            return await asyncio.to_thread(attack, server, signers, ca, examples)

    return asyncio.run(story())


def check(tally: Tally) -> None:
    """At least half of the cases got past the signature, and yes and no were both among them."""
    print(f"{tally.cases} cases, {tally.past / tally.cases:.0%} past the signature: {dict(tally.ends)}")
    assert tally.past >= SHARE_MIN * tally.cases
    assert tally.ends["ok"] > 0
    assert tally.ends["bad-request"] > 0


def test_signed_requests_of_every_shape(tmp_path: Path) -> None:
    """Signed bodies, valid and not, of every operation: no fault, and answers as described."""
    check(run_attack(tmp_path, EXAMPLES))


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_signed_requests_of_every_shape_at_length(tmp_path: Path) -> None:
    """The same with many more cases."""
    check(run_attack(tmp_path, EXAMPLES_LONG))
