"""Shows what is remembered of key requests: for a while, in bounded memory, and by caller."""

from sealcast.server import recent
from sealcast.server.recent import Recent

REMEMBERED_MS = 240_000


def test_a_request_is_found_by_its_caller() -> None:
    """The same id of another caller is another request."""
    memory: Recent[str] = Recent(REMEMBERED_MS)
    assert memory.find("tv", "a", 1_000) is None
    memory.keep("tv", "a", b"digest", "decision")
    assert memory.find("tv", "a", 1_000) == (b"digest", "decision")
    assert memory.find("radio", "a", 1_000) is None


def test_it_is_remembered_for_half_the_time_at_least_and_never_longer_than_all() -> None:
    """Two generations: the older goes when the younger is old."""
    memory: Recent[str] = Recent(REMEMBERED_MS)
    memory.find("tv", "a", 0)
    memory.keep("tv", "a", b"digest", "decision")
    assert memory.find("tv", "a", REMEMBERED_MS // 2) is not None
    assert memory.find("tv", "a", REMEMBERED_MS - 1) is not None
    assert memory.find("tv", "a", REMEMBERED_MS) is None


def test_a_clock_that_is_set_forgets() -> None:
    """Neither a jump ahead nor one back keeps anything for longer."""
    for jump_ms in (REMEMBERED_MS * 10, -1):
        memory: Recent[str] = Recent(REMEMBERED_MS)
        memory.find("tv", "a", 1_000_000)
        memory.keep("tv", "a", b"digest", "decision")
        assert memory.find("tv", "a", 1_000_000 + jump_ms) is None


def test_memory_is_bounded() -> None:
    """However many ask, no more than two generations are kept, the newest of all among them."""
    memory: Recent[int] = Recent(REMEMBERED_MS)
    count = 3 * recent.REMEMBERED_MAX
    for number in range(count):
        memory.find("tv", str(number), 0)
        memory.keep("tv", str(number), b"digest", number)
    found = [number for number in range(count) if memory.find("tv", str(number), 0) is not None]
    assert recent.REMEMBERED_MAX <= len(found) <= 2 * recent.REMEMBERED_MAX
    assert found[-1] == count - 1
