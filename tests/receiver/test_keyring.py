"""The keys a receiver holds: found by MKI, moved by announcements alone, erased in time."""

import pytest

from sealcast.core.errors import FormatError
from sealcast.keys.policy import GRACE_MS_MAX
from sealcast.receiver.keyring import KeyRing
from simulation.parts import MS, SECOND, make_key

LIFETIME_MS = 5_000


def ring_with(*epochs: int) -> KeyRing:
    """Return a ring that holds these epochs, the first of them on air."""
    ring = KeyRing()
    for epoch in epochs:
        ring.learn(make_key(epoch), LIFETIME_MS, 0)
    ring.announce(make_key(epochs[0]).key_id, 0)
    return ring


def held(ring: KeyRing) -> list[int]:
    """Return the epochs that packets can be opened under."""
    by_mki = [epoch for epoch in range(50) if ring.find(make_key(epoch).key_id.pack()) is not None]
    assert by_mki == sorted(key_id.epoch for key_id in ring.held)
    return by_mki


def test_current_next_and_previous_are_found_alike() -> None:
    """All keys held open packets, whichever is on air."""
    ring = ring_with(1, 2)
    assert (held(ring), ring.holds_next()) == ([1, 2], True)
    ring.announce(make_key(2).key_id, SECOND)
    assert (held(ring), ring.holds_next()) == ([1, 2], False)


def test_previous_key_goes_when_unused() -> None:
    """An unused previous key goes after its lifetime, if that is below ten seconds."""
    ring = ring_with(1, 2)
    ring.mark_used(make_key(1).key_id, SECOND)
    ring.announce(make_key(2).key_id, SECOND)
    assert ring.next_timeout() == SECOND + LIFETIME_MS * MS
    assert ring.expire(SECOND + LIFETIME_MS * MS - 1) == []
    assert [key_id.epoch for key_id in ring.expire(SECOND + LIFETIME_MS * MS)] == [1]
    assert held(ring) == [2]


def test_previous_key_in_use_goes_after_a_minute() -> None:
    """However long packets come under the previous key, a minute after the switch it is gone."""
    ring = ring_with(1, 2)
    ring.announce(make_key(2).key_id, 0)
    for second in range(60):
        ring.mark_used(make_key(1).key_id, second * SECOND)
        assert ring.expire(second * SECOND) == []
    assert [key_id.epoch for key_id in ring.expire(GRACE_MS_MAX * MS)] == [1]


def test_a_key_that_was_passed_over_goes_at_once() -> None:
    """After an eviction the prefetched key that never went on air is erased with the announcement."""
    ring = ring_with(1, 2, 3)
    ring.announce(make_key(3).key_id, SECOND)
    assert held(ring) == [1, 3]


def test_older_keys_are_not_taken_back() -> None:
    """A key older than the one on air is no news, and neither is its announcement."""
    ring = ring_with(5)
    assert not ring.learn(make_key(4), LIFETIME_MS, 0)
    assert not ring.announce(make_key(4).key_id, 0)
    assert ring.current == make_key(5).key_id
    assert held(ring) == [5]


def test_two_keys_under_one_name_are_refused() -> None:
    """Another key under a key ID that we hold is an error, and changes nothing."""
    ring = ring_with(1)
    with pytest.raises(FormatError):
        ring.check([make_key(2), make_key(1, seed="other")])
    with pytest.raises(FormatError):
        ring.learn(make_key(1, seed="other"), LIFETIME_MS, 0)
    with pytest.raises(FormatError):
        ring.check([make_key(2), make_key(2, seed="other")])
    ring.check([make_key(1), make_key(2), make_key(2)])
    assert held(ring) == [1]


def test_the_number_of_keys_is_bounded() -> None:
    """However many keys are granted, four are held, the one on air among them."""
    ring = ring_with(1)
    for epoch in range(2, 40):
        ring.learn(make_key(epoch), LIFETIME_MS, 0)
        assert len(ring.held) <= 4
    assert held(ring)[0] == 1


def test_erase_leaves_nothing() -> None:
    """At the end no key is held."""
    ring = ring_with(1, 2)
    ring.erase()
    assert held(ring) == []


def test_a_next_key_that_is_skipped_gives_way_to_the_one_that_comes() -> None:
    """After a removal the key fetched before never goes on air; it is dropped at the switch past it."""
    ring = ring_with(1, 2)
    following = make_key(3).key_id
    assert (ring.holds_next(), ring.holds_next(following)) == (True, False)
    ring.learn(make_key(3), LIFETIME_MS, SECOND)
    assert (held(ring), ring.holds_next(following)) == ([1, 2, 3], True)
    ring.announce(following, 2 * SECOND)
    assert (held(ring), ring.holds_next()) == ([1, 3], False)


def test_two_skipped_keys_leave_room_for_the_one_that_comes() -> None:
    """With previous, current and two skipped keys held, the previous one makes room."""
    ring = ring_with(1, 2)
    ring.announce(make_key(2).key_id, SECOND)
    for epoch in (3, 4, 5):
        ring.learn(make_key(epoch), LIFETIME_MS, SECOND)
    assert held(ring) == [2, 3, 4, 5]
    ring.announce(make_key(5).key_id, 2 * SECOND)
    assert held(ring) == [2, 5]
