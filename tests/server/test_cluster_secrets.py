"""Shows how servers join a cluster: what each of them knows, what a replica does not, and what is refused."""

import stat
from pathlib import Path

import pytest

from sealcast.core.errors import UsageError
from sealcast.server.cluster.secrets import NewServer, add_server, found_cluster, load_cluster_secrets
from sealcast.server.state import ServerState, create_server_state, load_server_state
from sealcast.server.state_reception import check_is_key_server
from sealcast.transport.system import SystemClock, SystemRandom

REPLICA = NewServer("replica", "keys-2", ("keys-2.example",), ("https://keys-2.example:8443",))
SECOND = NewServer("master", "keys-3", ("keys-3.example",), ("https://keys-3.example:8443",))


@pytest.fixture
def master(tmp_path: Path) -> Path:
    """Make the state directory of a key server."""
    directory = tmp_path / "keyserver"
    create_server_state(
        directory,
        operator_name="Example",
        hosts=("keys.example",),
        urls=("https://keys.example:8443",),
        random=SystemRandom(),
        wall_ns=SystemClock().wall_ns(),
    )
    return directory


def join(master: Path, new: NewServer) -> ServerState:
    """Make the state directory of another server."""
    return add_server(
        master, master.parent / new.name, new, random=SystemRandom(), wall_ns=SystemClock().wall_ns()
    )


def test_a_replica_answers_as_the_master_does_and_certifies_nobody(master: Path) -> None:
    """It signs and opens with the same keys and tells both addresses; its master key is its own."""
    replica, first = join(master, REPLICA), load_server_state(master)
    assert (replica.operator, replica.operators, replica.ca_pem) == (
        first.operator,
        first.operators,
        first.ca_pem,
    )
    assert (replica.signing, replica.kek, replica.nonce_key) == (first.signing, first.kek, first.nonce_key)
    assert replica.urls == ("https://keys.example:8443", "https://keys-2.example:8443")
    assert replica.master_key != first.master_key
    assert replica.is_replica
    assert not replica.is_manager
    assert not first.is_replica
    assert replica.issuer.certificate_pem == first.issuer.certificate_pem
    assert not replica.issuer.key_pem
    check_is_key_server(replica)


def test_who_may_publish(master: Path) -> None:
    """All have the cluster's key under their own names; masters publish, a replica can only check."""
    replica, second = join(master, REPLICA), join(master, SECOND)
    first_one = load_cluster_secrets(load_server_state(master), "master")
    at_replica = load_cluster_secrets(replica, "replica")
    at_second = load_cluster_secrets(second, "master")
    assert first_one.cluster_key == at_replica.cluster_key == at_second.cluster_key
    assert [each.name for each in (first_one, at_replica, at_second)] == ["master", "keys-2", "keys-3"]
    assert [each.may_publish for each in (first_one, at_replica, at_second)] == [True, False, True]
    assert at_replica.publisher == first_one.publisher.public()
    assert at_second.publisher == first_one.publisher


def test_a_second_master_opens_the_same_database(master: Path) -> None:
    """It has the first one's master key and issuing CA; the CA's own key stays where it is."""
    second, first = join(master, SECOND), load_server_state(master)
    assert (second.master_key, second.issuer) == (first.master_key, first.issuer)
    assert not (second.directory / "ca.key").exists()
    assert found_cluster(second, "whatever", SystemRandom()).name == "keys-3"


def test_everything_is_private(master: Path) -> None:
    """Each file is 0600 in directories of 0700, and no secret of the cluster is readable."""
    replica = join(master, REPLICA)
    files = [path for path in replica.directory.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(replica.directory.stat().st_mode) == 0o700
    secrets = load_cluster_secrets(replica, "replica")
    assert secrets.cluster_key not in b"".join(path.read_bytes() for path in files)
    assert repr(secrets) == "ClusterSecrets(of keys-2)"


@pytest.mark.parametrize("name", ["", "a.b", "a b", "*", ">", "x" * 65, "master", "ä"])
def test_names_that_do_not_do(master: Path, name: str) -> None:
    """A name is one part of a name on the bus, and not the first server's; nothing is made otherwise."""
    with pytest.raises(UsageError):
        add_server(
            master,
            master.parent / "new",
            NewServer("replica", name, ("h",), ()),
            random=SystemRandom(),
            wall_ns=SystemClock().wall_ns(),
        )
    assert not (master.parent / "new").exists()
    assert not (master / "cluster.vault").exists()


def test_what_is_there_is_never_written_over(master: Path) -> None:
    """The same directory twice is refused, and so is adding from a replica."""
    replica = join(master, REPLICA)
    with pytest.raises(UsageError, match="never overwritten"):
        join(master, REPLICA)
    with pytest.raises(UsageError, match="replica's"):
        join(replica.directory, SECOND)


def test_each_runs_in_its_own_role(master: Path) -> None:
    """A replica's directory makes no master, a master's no replica, and one of no cluster neither."""
    alone = load_server_state(master)
    with pytest.raises(UsageError, match="cluster add"):
        load_cluster_secrets(alone, "master")
    replica = join(master, REPLICA)
    with pytest.raises(UsageError, match="--role replica"):
        load_cluster_secrets(replica, "master")
    with pytest.raises(UsageError, match="--role master"):
        load_cluster_secrets(load_server_state(master), "replica")


def test_vaults_of_different_backups_do_not_go_together(master: Path) -> None:
    """A cluster.vault that the master key beside it does not open is said to be so."""
    replica, second = join(master, REPLICA), join(master, SECOND)
    (replica.directory / "cluster.vault").write_bytes((second.directory / "cluster.vault").read_bytes())
    with pytest.raises(UsageError, match="same backup"):
        load_cluster_secrets(replica, "replica")
