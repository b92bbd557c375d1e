"""Shows that docs/spec/messages.md tells the whole API: operations, problems, tokens and limits."""

from pathlib import Path

import pytest

from sealcast.keyserver import store_principals, wrapped
from sealcast.messages import jose, nonces, operations, problems
from sealcast.messages.encoding import MESSAGE_BYTES_MAX
from sealcast.messages.operation import Operation
from sealcast.server import state
from sealcast.server.authenticating import JTI_CHARS_MAX
from sealcast.server.pipeline import REMEMBERED_MS
from sealcast.server.request_key import HELD_MAX

TEXT = (Path(__file__).parents[2] / "docs" / "spec" / "messages.md").read_text()


@pytest.mark.parametrize(
    "operation",
    dict.fromkeys([*operations.ALL, *operations.RECEPTION_MANAGER]),
    ids=lambda operation: operation.name,
)
def test_operation_stands_in_the_table(operation: Operation) -> None:
    """Each operation is listed with its path, role, answer and whether that is sealed."""
    answer = operation.answer.__name__ + (", sealed" if operation.sealed else "")
    row = f"| `{operation.name}` | `{operation.path}` | {operation.role} | {answer} |"
    assert row in TEXT


@pytest.mark.parametrize("name", problems.STATUS_OF)
def test_problem_stands_in_the_table(name: str) -> None:
    """Each reason for a no is listed with its status."""
    assert f"| `{name}` | {int(problems.STATUS_OF[name])} |" in TEXT


def test_tokens_labels_and_limits_are_told() -> None:
    """Kinds of tokens, labels of keys at rest and limits are those of the code."""
    kinds = (
        jose.TYP_REQUEST,
        jose.TYP_ANSWER,
        jose.TYP_SEALED_ANSWER,
        jose.TYP_SHARED_ANSWER,
        jose.TYP_SEALED_KEY,
        jose.TYP_VAULT,
    )
    labels = (
        wrapped.LABEL_TEK,
        wrapped.LABEL_LINK,
        store_principals.LABEL_KEK,
        store_principals.LABEL_MAC,
        state.VAULT_LABEL,
    )
    for word in (*kinds, *(label.decode() for label in labels)):
        assert f"`{word}`" in TEXT
    assert f"{MESSAGE_BYTES_MAX:,} bytes" in TEXT
    assert f"good for {nonces.NONCE_VALID_MS // 1000} s" in TEXT
    assert f"each decision for {REMEMBERED_MS // 1000} s" in TEXT
    assert f"1 to {JTI_CHARS_MAX} characters" in TEXT
    assert f"(at most {HELD_MAX})" in TEXT
