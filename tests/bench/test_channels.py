"""Shows that the measurement of many channels measures: on time, cost, memory and the search for the most."""

import pytest

from sealcast.bench import channels
from sealcast.bench.channels import Trial, measure_channels
from sealcast.transport.system import SystemClock, SystemRandom


def test_a_measurement_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real channels, few and briefly: each trial has its figures, and the answer lies within the bounds."""
    monkeypatch.setattr(channels, "SCALES", (1, 4))
    monkeypatch.setattr(channels, "CHANNELS_MAX", 4)
    figures = measure_channels(SystemClock(), SystemRandom(), 0.3)
    assert [trial.channels for trial in figures.trials][:2] in ([1, 4], [1, 2])
    for trial in figures.trials:
        assert 0 <= trial.on_time_share <= 1
        assert trial.us_per_packet > 0
        assert 0 < trial.core_share <= 1.1
    assert 0 <= figures.channels <= 4
    assert figures.load >= 0


@pytest.mark.parametrize("limit", [7, 10, 33, 99, 205, 420, 3_000])
def test_the_most_is_found(limit: int) -> None:
    """The search finds where the schedule breaks, within a twentieth, in few trials."""
    tried: list[int] = []

    def run(count: int) -> Trial:
        tried.append(count)
        return Trial(count, 1.0 if count <= limit else 0.5, 0.0, 1.0, 1.0, 0.5)

    found = channels._search({count: run(count) for count in channels.SCALES}, run)
    most = min(limit, channels.CHANNELS_MAX)
    assert most * 0.94 - 1 <= found <= most
    assert len(tried) <= 12
