"""The slot file: what a sender remembers across restarts, and that it forgets nothing it used."""

import os
from pathlib import Path

import pytest

from sealcast.core.errors import LocalError, UsageError
from sealcast.core.ids import Epoch, KeyId
from sealcast.device.vault import Credential
from sealcast.keys.schedule import schedule_of
from sealcast.messages.material import key_material
from sealcast.sender.slots import NO_RECORD, SlotStore
from sealcast.testing import SimRandom
from sender.chaining import chain_spec
from simulation.credentials import make_credential
from simulation.parts import make_key, make_slots, make_spec

SPEC = make_spec()


CREDENTIAL = make_credential()


def opened(folder: Path, credential: Credential = CREDENTIAL) -> SlotStore:
    """Return the open store of the channel `news`."""
    store = SlotStore(folder, credential, "news")
    store.open()
    return store


def test_a_first_start_knows_nothing(tmp_path: Path) -> None:
    """Without a file there are no slots, and the key server is told to burn all there ever were."""
    store = opened(tmp_path)
    assert (store.spec, store.lease.slots, store.first_unused, store.known) == (None, (), NO_RECORD, {})
    store.close()


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    """Channel, slots, keys and the first unused epoch are read back as they were."""
    store = opened(tmp_path)
    store.take_lease(SPEC, make_slots(5, 16), [key_material(make_key(6))])
    store.remember_key(make_key(5))
    store.close()
    again = opened(tmp_path)
    assert (again.spec, again.lease.slots, again.first_unused) == (SPEC, make_slots(5, 16), 5)
    assert again.known == {5: make_key(5), 6: make_key(6)}
    again.close()


def test_a_chained_key_survives_with_its_place_in_the_chain(tmp_path: Path) -> None:
    """Link, end of the chain, what it follows and its Ku are read back; a copy given out is its own."""
    spec = chain_spec()
    schedule = schedule_of(spec, SimRandom("chain"))
    first = schedule.make(KeyId(spec.number, Epoch(5)), None, is_fresh=False).tek
    second = schedule.make(KeyId(spec.number, Epoch(6)), first, is_fresh=False).tek
    store = opened(tmp_path)
    store.take_lease(spec, make_slots(5, 16), [key_material(second)])
    store.remember_key(first)
    store.close()
    again = opened(tmp_path)
    assert again.spec == spec
    assert [again.known[epoch].origin for epoch in (Epoch(5), Epoch(6))] == [first.origin, second.origin]
    again.known[Epoch(6)].erase()
    again.consume(Epoch(5))
    again.close()
    third = opened(tmp_path)
    assert {epoch: tek.origin for epoch, tek in third.known.items()} == {6: second.origin}
    third.close()


def test_a_used_key_is_not_kept_again(tmp_path: Path) -> None:
    """A key published late, when its slot is consumed, does not come back; nor does one below a lease."""
    store = opened(tmp_path)
    store.take_lease(SPEC, make_slots(5, 16), [])
    store.remember_key(make_key(6))
    store.consume(Epoch(5))
    store.remember_key(make_key(5))
    assert store.known == {6: make_key(6)}
    store.take_lease(SPEC, make_slots(9, 16), [key_material(make_key(8)), key_material(make_key(9))])
    assert store.known == {9: make_key(9)}
    store.close()
    again = opened(tmp_path)
    assert again.known == {9: make_key(9)}
    again.close()


def test_a_consumed_slot_is_gone_for_good(tmp_path: Path) -> None:
    """After `consume` no restart finds the slot, its key, or one before it, even if a server sends them."""
    store = opened(tmp_path)
    store.take_lease(SPEC, make_slots(5, 16), [key_material(make_key(5)), key_material(make_key(6))])
    store.consume(Epoch(6))
    store.close()
    again = opened(tmp_path)
    assert (again.lease.peek().epoch, again.first_unused, again.known) == (7, 7, {})
    again.take_lease(SPEC, make_slots(5, 16), [])
    assert again.lease.peek().epoch == 7
    again.extend_lease(make_slots(5, 20))
    assert [slot.epoch for slot in again.lease.slots] == list(range(7, 25))
    again.close()


def test_an_empty_lease_takes_no_consumed_slots(tmp_path: Path) -> None:
    """A lease answer that was under way while the last slot was consumed brings only later ones."""
    store = opened(tmp_path)
    store.take_lease(SPEC, make_slots(5, 1), [])
    store.consume(Epoch(5))
    assert store.lease.slots == ()
    store.extend_lease(make_slots(5, 4))
    assert store.lease.peek().epoch == 6
    store.close()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """A second sender of the channel with the same folder is refused in one clear line."""
    store = opened(tmp_path)
    with pytest.raises(UsageError, match="another process is sending this channel"):
        opened(tmp_path)
    store.close()
    opened(tmp_path).close()


def test_a_closed_store_writes_nothing(tmp_path: Path) -> None:
    """A write that comes after the lock was let go does not undo another process's record."""
    store = opened(tmp_path)
    store.take_lease(SPEC, make_slots(5, 16), [])
    store.close()
    other = opened(tmp_path)
    other.consume(Epoch(9))
    with pytest.raises(LocalError):
        store.consume(Epoch(5))
    other.close()
    again = opened(tmp_path)
    assert again.first_unused == 10
    again.close()


def test_keys_are_sealed_in_the_file(tmp_path: Path) -> None:
    """No key stands in the file in any plain form, and others cannot read it."""
    store = opened(tmp_path)
    store.take_lease(SPEC, make_slots(5, 16), [])
    store.remember_key(make_key(5))
    store.close()
    (path,) = tmp_path.glob("*.json")
    key = make_key(5).key.reveal()
    assert key.hex().encode() not in path.read_bytes()
    assert key not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b"\xff\xfe", b'{"operator": 1}'])
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, damage: bytes) -> None:
    """A damaged file is never taken for an empty one: it says what to do, and does not start."""
    store = opened(tmp_path)
    store.take_lease(SPEC, make_slots(5, 16), [])
    store.close()
    (path,) = tmp_path.glob("*.json")
    path.write_bytes(damage)
    with pytest.raises(UsageError, match="move it away"):
        opened(tmp_path)


def test_another_sender_s_key_does_not_open_it(tmp_path: Path) -> None:
    """The keys in the file are sealed to this sender."""
    store = opened(tmp_path)
    store.take_lease(SPEC, make_slots(5, 16), [])
    store.remember_key(make_key(5))
    store.close()
    (path,) = tmp_path.glob("*.json")
    stranger = make_credential("stranger")
    path.rename(SlotStore(tmp_path, stranger, "news")._path)
    with pytest.raises(UsageError, match="not usable"):
        opened(tmp_path, stranger)


def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the machine stops before the new file is in place, the old one is whole."""
    store = opened(tmp_path)
    store.take_lease(SPEC, make_slots(5, 16), [])

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(UsageError, match="No space left"):
            store.consume(Epoch(5))
    store.close()
    again = opened(tmp_path)
    assert again.lease.peek().epoch == 5
    again.close()
