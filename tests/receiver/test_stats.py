"""Loss near key changes, whichever of the two was noticed first."""

from sealcast.receiver.stats import NEAR_CHANGE_NS, SwitchLoss
from simulation.parts import MS, SECOND


def test_loss_just_before_and_just_after_a_change_counts() -> None:
    """Gaps within a second on either side of a change belong to it."""
    loss = SwitchLoss()
    loss.note_gap(2, 9 * SECOND)
    loss.note_change(10 * SECOND)
    assert loss.total == 2
    loss.note_gap(3, 11 * SECOND)
    assert loss.total == 5


def test_loss_far_from_a_change_does_not_count() -> None:
    """Gaps further away than a second belong to the network alone."""
    loss = SwitchLoss()
    loss.note_gap(2, 9 * SECOND - 1)
    loss.note_change(10 * SECOND)
    loss.note_gap(3, 11 * SECOND + 1)
    assert loss.total == 0


def test_what_is_found_after_all_is_taken_off() -> None:
    """A packet that comes late takes itself off the loss."""
    loss = SwitchLoss()
    loss.note_gap(2, 10 * SECOND)
    loss.note_gap(-1, 10 * SECOND + MS)
    loss.note_change(10 * SECOND + 2 * MS)
    loss.note_gap(-1, 10 * SECOND + 3 * MS)
    assert loss.total == 0


def test_memory_is_bounded_by_a_second_of_gaps() -> None:
    """A lossy hour leaves only the gaps of its last second."""
    loss = SwitchLoss()
    for i in range(36_000):
        loss.note_gap(1, i * 100 * MS)
    assert len(loss._gaps) == NEAR_CHANGE_NS // (100 * MS) + 1
