"""JSON of messages and base64url: what is written is read, what is not ours is refused."""

import dataclasses

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.channel import ChannelSpec, Suite
from sealcast.core.errors import FormatError, RemoteError
from sealcast.core.ids import ChannelNumber
from sealcast.messages import operations
from sealcast.messages.answers import FetchWindow, Grant, GrantedKey, KeyMaterial, SenderKey, StreamState
from sealcast.messages.channels import channel_data
from sealcast.messages.encoding import MESSAGE_BYTES_MAX, b64url_decode, b64url_encode, decode, encode
from sealcast.messages.jwk import new_signing_pair
from sealcast.messages.problems import PROBLEM_PREFIX, STATUS_OF, problem, problem_name
from sealcast.messages.requests import KeyRequest, Request
from sealcast.testing import SimRandom

KEY, SALT = b"k" * 16, b"s" * 12
GRANT = Grant(
    jti="j",
    channel=channel_data(ChannelSpec(ChannelNumber(7), "news", "239.1.2.3", 5004)),
    keys=[
        GrantedKey(
            material=KeyMaterial(key_id="0000000700000003", suite=Suite.AES_128_GCM, key=KEY, salt=SALT),
            state="current",
            remaining_ms=1_000,
            lifetime_ms=5_000,
        )
    ],
    streams=[StreamState(ssrc=1, roc=2, seq=3, age_ms=4)],
    senders=[SenderKey(id="studio", key=new_signing_pair(SimRandom(1)).public())],
    window=FetchWindow(opens_in_ms=5, closes_in_ms=6),
    key_servers=["https://keys.example:8443"],
)


@given(st.binary(max_size=200))
def test_base64url_round_trip(data: bytes) -> None:
    """Any bytes come back, without padding on the way."""
    text = b64url_encode(data)
    assert "=" not in text
    assert b64url_decode(text) == data


@pytest.mark.parametrize(
    "text", ["a", "ab!!cd", "ab+/", "YWI=", "a\nbc", "\u00e9\u00e9\u00e9\u00e9", "YWJj "]
)
def test_what_is_no_base64url(text: str) -> None:
    """Other alphabets, padding, blanks and cut texts are refused, not skipped over."""
    with pytest.raises(FormatError):
        b64url_decode(text)


def test_grant_round_trip() -> None:
    """A grant comes back as it was sent."""
    assert decode(encode(GRANT), Grant) == GRANT


def test_a_grant_shows_no_key() -> None:
    """Its repr, which may reach a log, holds neither key nor salt."""
    text = repr(GRANT)
    for secret in (KEY, SALT):
        assert secret.decode() not in text
        assert secret.hex() not in text
        assert b64url_encode(secret) not in text
    assert "0000000700000003" in text


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """What is not the JSON of a message raises a remote error and nothing else."""
    for operation in operations.ALL:
        for kind in (operation.request, operation.answer):
            with pytest.raises(RemoteError):
                decode(data, kind)


def test_misshapen_messages_name_the_place() -> None:
    """The error says which field of which message does not fit."""
    with pytest.raises(FormatError, match=r"KeyRequest.*\$\.channel"):
        decode(b'{"aud":"a","op":"keys","jti":"j","nonce":"n","channel":7}', KeyRequest)
    with pytest.raises(FormatError, match=r"KeyRequest.*extra"):
        decode(b'{"aud":"a","op":"keys","jti":"j","nonce":"n","channel":"7","extra":1}', KeyRequest)


def test_too_long_and_too_deep() -> None:
    """A long or deeply nested message is refused, not worked on."""
    with pytest.raises(FormatError, match="at most"):
        decode(b" " * (MESSAGE_BYTES_MAX + 1), KeyRequest)
    with pytest.raises(FormatError):
        decode(b"[" * 100_000, KeyRequest)


def test_operations_are_distinct() -> None:
    """Every operation has its own name and path, and requests carry the four claims."""
    assert len({operation.name for operation in operations.ALL}) == len(operations.ALL)
    assert len({operation.path for operation in operations.ALL}) == len(operations.ALL)
    for operation in operations.ALL:
        assert issubclass(operation.request, Request)
        required = {field.name for field in msgspec.structs.fields(operation.request) if field.required}
        assert required >= {"aud", "op", "jti", "nonce"}


def test_answers_with_keys_are_sealed() -> None:
    """An operation whose answer can hold a key is sealed to the caller; so is what a newcomer is told."""
    for operation in operations.ALL:
        holds_keys = b"KeyMaterial" in repr(msgspec.json.schema(operation.answer)).encode()
        assert operation.sealed is (holds_keys or operation is operations.ENROL), operation.name


@pytest.mark.parametrize("name", STATUS_OF)
def test_problems(name: str) -> None:
    """Each reason has a stable URN, whose name comes back, and an HTTP status of an error."""
    made = problem(name, "because")
    assert made.type == PROBLEM_PREFIX + name
    assert problem_name(made.type) == name
    assert made.status >= 400
    assert decode(encode(made), type(made)) == made


def test_frozen() -> None:
    """Messages and channels do not change once made."""
    with pytest.raises(AttributeError):
        GRANT.jti = "other"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        ChannelSpec(ChannelNumber(7), "news", "239.1.2.3", 5004).port = 7  # type: ignore[misc]
