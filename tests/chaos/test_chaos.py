"""The cluster under chaos: receivers lose nothing, removed devices are out, the books are right."""

from pathlib import Path

import pytest

from chaos.run import run

pytestmark = [pytest.mark.network, pytest.mark.mounts]

RECEIVERS = 200


@pytest.mark.timeout(300)
def test_a_minute_of_faults(tmp_path: Path) -> None:
    """Each kind of fault in a minute, some at one time: no loss at a switch, no grant lost, no key twice."""
    verdict = run(tmp_path, seed=1, seconds=60, overlap=0.8, removals=3, receivers=RECEIVERS)
    print(verdict)
    assert not verdict.wrong, "\n".join([str(verdict), *verdict.wrong])


@pytest.mark.soak
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("seed", [2])
def test_ten_minutes_of_faults(tmp_path: Path, seed: int) -> None:
    """The same for ten minutes, in which everything fails several times."""
    verdict = run(tmp_path, seed=seed, seconds=600, overlap=0.4, removals=20, receivers=RECEIVERS)
    print(verdict)
    assert not verdict.wrong, "\n".join([str(verdict), *verdict.wrong])
