"""Entries and journals as they travel: what opens, what does not, and what the bus can learn."""

import msgspec
import pytest

from sealcast.cluster.sealing import (
    BATCH_BYTES_MAX,
    TYP_ENTRY,
    EntrySealer,
    JournalSealer,
    message_id,
)
from sealcast.core.errors import AuthenticationError, FormatError, LocalError, RemoteError
from sealcast.messages import jose
from sealcast.messages.cluster import EntryBody, GrantedRow, JournalBatch
from sealcast.messages.jwk import new_signing_pair
from sealcast.testing import SimRandom

RANDOM = SimRandom("sealing")
CLUSTER_KEY = RANDOM.bytes(32)
PUBLISHER = new_signing_pair(RANDOM)
MASTER = EntrySealer(CLUSTER_KEY, PUBLISHER)
REPLICA = EntrySealer(CLUSTER_KEY, PUBLISHER.public())
JOURNALS = JournalSealer(CLUSTER_KEY)

ENTRY = EntryBody(
    kind="channel", name="7", version=3, term=1, at_ms=1_700_000_000_000, body=msgspec.Raw(b'{"a":1}')
)
BATCH = JournalBatch(
    replica="r1",
    journal="j1",
    first=5,
    rows=[GrantedRow(device="dev-1", channel=7, epochs=[1, 2], at_ms=1_700_000_000_000)],
)


def test_a_replica_opens_what_a_master_sealed() -> None:
    """The public half of the publisher's key is enough to open an entry; its body comes back as it was."""
    assert REPLICA.open(MASTER.seal(ENTRY)) == ENTRY


def test_a_replica_publishes_nothing() -> None:
    """With the public half alone nothing can be sealed for other replicas."""
    with pytest.raises(LocalError, match="only masters publish"):
        REPLICA.seal(ENTRY)


def test_another_publisher_is_refused() -> None:
    """A holder of the cluster's key who is no master cannot make an entry."""
    forged = EntrySealer(CLUSTER_KEY, new_signing_pair(RANDOM)).seal(ENTRY)
    with pytest.raises(AuthenticationError):
        REPLICA.open(forged)


def test_another_cluster_is_refused() -> None:
    """An entry and a batch of a cluster with another key do not open."""
    other = RANDOM.bytes(32)
    with pytest.raises(AuthenticationError):
        REPLICA.open(EntrySealer(other, PUBLISHER).seal(ENTRY))
    with pytest.raises(AuthenticationError):
        JOURNALS.open(JournalSealer(other).seal(BATCH))


def test_kinds_are_not_mixed_up() -> None:
    """A batch is no entry, an entry no batch, and what the publisher signed for another end is neither."""
    signed = jose.sign(JOURNALS.seal(BATCH), PUBLISHER, kid="publisher", typ=TYP_ENTRY).encode()
    for data in (JOURNALS.seal(BATCH), signed):
        with pytest.raises(RemoteError):
            REPLICA.open(data)
    with pytest.raises(RemoteError):
        JOURNALS.open(MASTER.seal(ENTRY))


@pytest.mark.parametrize("data", [b"", b"a.b.c", b"\xff" * 40, b"." * 4, b"x" * 300_000])
def test_rubbish_is_refused(data: bytes) -> None:
    """Whatever stands on the bus, opening it raises one of our errors for what others send."""
    for opened in (REPLICA.open, JOURNALS.open):
        with pytest.raises((AuthenticationError, FormatError)):
            opened(data)


def test_each_changed_byte_is_noticed() -> None:
    """An entry with any character replaced does not open as another one."""
    data = MASTER.seal(ENTRY)
    for at in range(0, len(data), 7):
        changed = data[:at] + (b"A" if data[at : at + 1] != b"A" else b"B") + data[at + 1 :]
        with pytest.raises(RemoteError):
            REPLICA.open(changed)


def test_the_bus_sees_neither_names_nor_content() -> None:
    """Places are the same at all servers of a cluster, others elsewhere, and tell the kind alone."""
    place = MASTER.place("party", "dev-1")
    assert place == REPLICA.place("party", "dev-1")
    assert place != MASTER.place("party", "dev-2")
    assert place != EntrySealer(RANDOM.bytes(32), PUBLISHER).place("party", "dev-1")
    kind, _, tag = place.partition(".")
    assert kind == "party"
    assert len(tag) == 32
    assert b"dev-1" not in JOURNALS.seal(BATCH)


def test_the_same_entry_never_looks_the_same() -> None:
    """Content keys are drawn for each message."""
    assert MASTER.seal(ENTRY) != MASTER.seal(ENTRY)
    assert JOURNALS.seal(BATCH) != JOURNALS.seal(BATCH)


def test_a_batch_has_a_bound() -> None:
    """A batch that could not be opened again is not sealed; the largest that is sealed opens."""
    most = (BATCH_BYTES_MAX - 200) // len(msgspec.json.encode(BATCH.rows[0]) + b",")
    full = msgspec.structs.replace(BATCH, rows=BATCH.rows * most)
    assert JOURNALS.open(JOURNALS.seal(full)) == full
    with pytest.raises(LocalError, match="take fewer rows"):
        JOURNALS.seal(msgspec.structs.replace(BATCH, rows=BATCH.rows * (most + 10)))


def test_a_longer_batch_is_another_message() -> None:
    """Rows that joined a batch since it was submitted are not taken for submitted."""
    longer = msgspec.structs.replace(BATCH, rows=BATCH.rows * 2)
    assert message_id(BATCH) == message_id(msgspec.structs.replace(BATCH))
    assert message_id(BATCH) != message_id(longer)


def test_a_key_of_another_length_is_refused() -> None:
    """A cluster's key has 32 bytes."""
    with pytest.raises(FormatError, match="32 bytes"):
        JournalSealer(b"short")
