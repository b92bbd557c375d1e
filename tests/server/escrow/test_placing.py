"""Shows what an escrow thinks of when orders are placed: ids that can be typed."""

from sealcast.server.escrow.ordering import ORDER_ID_BYTES, new_order_id
from sealcast.testing import SimRandom


class Scripted(SimRandom):
    """Gives what would begin with a hyphen first, and then what would not."""

    def __init__(self) -> None:
        super().__init__(1)
        self._first = [b"\xf8", b"\xfb", b"\xf7"]

    def bytes(self, count: int) -> bytes:
        """Return bytes that begin as the script says."""
        return self._first.pop(0) + super().bytes(count - 1)


def test_an_orders_id_is_no_option_of_a_command() -> None:
    """An id that would begin with a hyphen is not given out: `order refund ORDER` could not be typed."""
    made = new_order_id(Scripted())
    assert (made[0], len(made)) == ("9", 22)
    assert ORDER_ID_BYTES == 16
