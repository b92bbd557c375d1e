"""Shows that docs/spec/opening.md tells an escrow's whole API, its tokens, labels and limits."""

from pathlib import Path

import pytest

from sealcast.keys import rsakem
from sealcast.messages import escrow
from sealcast.messages.enrolment import IDENTIFIED_POLICY
from sealcast.messages.operation import Operation
from sealcast.messages.operations_escrow import ESCROW
from sealcast.server.escrow import keyring, keys, opening, revocation, settings

TEXT = (Path(__file__).parents[3] / "docs" / "spec" / "opening.md").read_text()


@pytest.mark.parametrize("operation", ESCROW, ids=lambda operation: operation.name)
def test_operation_stands_in_the_table(operation: Operation) -> None:
    """Each operation is listed with its path, role and answer."""
    row = f"| `{operation.name}` | `{operation.path}` | {operation.role} | {operation.answer.__name__} |"
    assert row in TEXT


def test_tokens_labels_and_limits_are_told() -> None:
    """What the page says of tokens, labels and limits is what the code has."""
    for word in (
        escrow.TYP_ESCROW_PLACE,
        f"GET {escrow.PLACE_PATH}",
        escrow.TYP_ESCROW_KEY,
        escrow.TYP_ESCROW_RECEIPT,
        keyring.LABEL.decode(),
        revocation.CRL_FILE,
        IDENTIFIED_POLICY,
        escrow.OPENS_UPON,
    ):
        assert f"`{word}`" in TEXT
    assert f"`crl_every_s` ({settings.CRL_EVERY_S} s)" in TEXT
    assert f"`crl_max_age_s` ({settings.CRL_MAX_AGE_S} s)" in TEXT
    assert f"{rsakem.BITS_MIN:,} to {rsakem.BITS_MAX:,} bits in\nsteps of {keys.BITS_STEP}" in TEXT
    assert f"beyond {opening.WAITING_MAX} that wait" in TEXT
