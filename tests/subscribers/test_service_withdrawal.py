"""Shows the judgement of erasure statements: one fact after the other, and what each makes of it."""

import pytest
from msgspec.structs import replace as changed

from sealcast.messages import jose
from sealcast.messages.encoding import encode
from sealcast.messages.jwk import new_oct_key
from sealcast.messages.subscribing import ErasureStatement
from sealcast.subscribers.service_withdrawal import (
    Facts,
    StatementRead,
    Withdrawal,
    judge,
    read_statement,
)
from sealcast.testing import SimRandom

KEY = new_oct_key(SimRandom("tv"))
RIGHT = ErasureStatement(
    operator="op", device="tv", scope="7", statement_nonce="n", counter=3, erased=["0000000700000001"]
)
BEGAN = Withdrawal(1, "tv", "7", 3, is_superseded=False, is_closed=False)
CLOSED = Withdrawal(1, "tv", "7", 3, is_superseded=False, is_closed=True, receipt="r")
NOBODYS = StatementRead(None, fault="foreign")
GARBAGE = StatementRead(None, fault="bad")


def read(statement: ErasureStatement = RIGHT) -> StatementRead:
    """Return a statement that was signed as it should be."""
    token = jose.sign(encode(statement), KEY, kid="tv", typ=jose.TYP_ERASURE)
    return read_statement(token, "tv", KEY)


@pytest.mark.parametrize(
    ("statement", "same", "began", "is_back", "kind"),
    [
        (read(), None, BEGAN, False, "valid"),
        (read(), CLOSED, CLOSED, False, "repeat"),
        (read(), CLOSED, CLOSED, True, "replayed"),
        (GARBAGE, CLOSED, None, True, "replayed"),
        (GARBAGE, None, None, False, "bad"),
        (NOBODYS, None, None, False, "foreign"),
        (read(changed(RIGHT, device="other")), None, BEGAN, False, "foreign"),
        (read(changed(RIGHT, operator="other")), None, BEGAN, False, "foreign"),
        (read(), None, None, False, "bad"),
        (read(), None, Withdrawal(1, "other", "7", 3, False, False), False, "foreign"),
        (read(), None, CLOSED, False, "replayed"),
        (read(), None, Withdrawal(1, "tv", "7", 3, True, False), False, "stale"),
        (read(changed(RIGHT, counter=2)), None, BEGAN, False, "stale"),
        (read(changed(RIGHT, counter=4)), None, BEGAN, False, "bad"),
        (read(changed(RIGHT, scope="8", erased=[])), None, BEGAN, False, "bad"),
        (read(changed(RIGHT, scope="*", kek_erased=True)), None, BEGAN, False, "bad"),
    ],
)
def test_what_a_statement_is_worth(
    statement: StatementRead,
    same: Withdrawal | None,
    began: Withdrawal | None,
    is_back: bool,  # noqa: FBT001 - a parameter
    kind: str,
) -> None:
    """The first fact that speaks decides, in the order of the rules."""
    verdict = judge(Facts("op", "tv", statement, same, began, is_back))
    assert verdict.kind == kind
    assert verdict.detail or kind in {"valid", "repeat"} or statement.statement is None


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": ""},
        {"scope": "news"},
        {"scope": "07"},
        {"scope": "4294967296000"},
        {"scope": "*"},
        {"kek_erased": True},
        {"erased": ["0000000800000001"]},
        {"erased": ["x"]},
        {"last_index": {"8": 1}},
        {"last_index": {"7": 1 << 48}},
    ],
    ids=str,
)
def test_what_is_no_statement(changes: dict[str, object]) -> None:
    """Whatever goes beyond its scope is not read, and what is said of it is one printable line."""
    found = read(changed(RIGHT, **changes))
    assert (found.statement, found.fault) == (None, "bad")
    assert found.detail.isprintable()
    assert 0 < len(found.detail) <= 200


def test_what_others_sign_is_not_read() -> None:
    """Another's name is foreign at once, another's key is not believed."""
    token = jose.sign(encode(RIGHT), KEY, kid="tv", typ=jose.TYP_ERASURE)
    assert read_statement(token, "other", KEY).fault == "foreign"
    assert read_statement(token, "tv", new_oct_key(SimRandom("other"))).fault == "bad"
    hostile = jose.sign(b'{"\\u001b[2J\\n": 1}', KEY, kid="tv", typ=jose.TYP_ERASURE)
    assert read_statement(hostile, "tv", KEY).detail.isprintable()
