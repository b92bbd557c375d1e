"""Shows what `--role`, `--bus` and `--db` mean, and what does not fit together."""

from pathlib import Path

import pytest

from sealcast.cli.roles import cluster_settings, database_of
from sealcast.config.schema import ClusterSection
from sealcast.core.errors import UsageError
from sealcast.server.settings import ClusterSettings

BUS = ("nats://a:4222", "nats://b:4222")


def test_the_only_server() -> None:
    """Without a role there is no cluster."""
    assert cluster_settings(ClusterSection(), None, []) is None
    assert database_of(None, None, None) is None
    assert database_of("postgresql://db/keys", None, None) == "postgresql://db/keys"


def test_flags_stand_over_the_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Role, bus and database of the command line count; a bus may be written with commas."""
    section = ClusterSection(role="master", bus=["nats://c:4222"], next_s=20, lease_s=4)
    made = cluster_settings(section, "replica", [",".join(BUS)])
    assert made == ClusterSettings(role="replica", bus=BUS, stale_after_ms=20_000, lease_ms=4_000)
    configured = cluster_settings(section, None, [])
    assert configured is not None
    assert (configured.role, configured.bus) == ("master", ("nats://c:4222",))
    monkeypatch.chdir(tmp_path)
    assert database_of("keys.db", "postgresql://db/keys", made) == tmp_path / "keys.db"


@pytest.mark.parametrize(
    ("role", "bus", "expected"),
    [
        ("master", [], "a master needs a bus"),
        ("replica", [], "a replica needs a bus"),
        ("slave", ["nats://a:1"], "no such role"),
        (None, ["nats://a:1"], "give --role"),
        ("master", ["a:4222"], "not the address of a server of the bus"),
    ],
)
def test_what_does_not_fit(role: str | None, bus: list[str], expected: str) -> None:
    """Each mistake is one line that says what to do."""
    with pytest.raises(UsageError, match=expected):
        cluster_settings(ClusterSection(), role, bus)


def test_a_replica_has_its_own_database() -> None:
    """PostgreSQL is the masters' alone."""
    replica = ClusterSettings(role="replica", bus=BUS)
    with pytest.raises(UsageError, match="a replica has a database of its own"):
        database_of(None, "postgresql://db/keys", replica)
