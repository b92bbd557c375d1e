"""Owns how a receiver follows a chain of keys by updates that come over the air, and asks for those missed.

```
verified SEAL ── REKEY: follows N, comes N+1, Ku wrapped ──► C(N) held? ──► C(N+1), TEK(N+1); C(N) is erased
                                                                │ no: nothing changes, counted
                                                                └► asked for in the repair window (S0-9)
```
"""

from collections.abc import Iterable

from sealcast.core.channel import ChannelSpec, ScheduleKind
from sealcast.core.errors import FormatError, RemoteError
from sealcast.keys.policy import Window, fetch_window, repair_window
from sealcast.keys.schedule import follow_update
from sealcast.receiver.keyring import KeyRing
from sealcast.receiver.stats import ReceiverStats
from sealcast.wire.rekey import parse_rekey


class Follower:
    """Takes the updates of one receiver's SEAL packets; the keys go into its ring."""

    __slots__ = ("_ring", "_stats")

    def __init__(self, ring: KeyRing, stats: ReceiverStats) -> None:
        self._ring = ring
        self._stats = stats

    def take(self, messages: Iterable[bytes], lifetime_ms: int, now: int) -> bool:
        """Follow the rekey messages of a SEAL packet that was verified; return whether a key was learnt.

        A message of another kind, or whose key is held (each is repeated), is passed over. About 120 µs for
        one that leads on.
        """
        learnt = False
        for message in messages:
            try:
                is_new = self._follow(message, lifetime_ms, now)
            except RemoteError:
                self._stats.updates_refused += 1
                continue
            self._stats.updates += is_new
            learnt = learnt or is_new
        return learnt

    def window_untold(self, spec: ChannelSpec, remaining_ms: int) -> Window:
        """Return when to ask for the next key if no SEAL packet tells: the schedule is known without it.

        Of a chain when its update was repeated for nothing, but for a fresh start, to which none leads.
        """
        if spec.schedule is ScheduleKind.CHAIN and not self._ring.is_chain_over:
            return repair_window(spec, remaining_ms)
        return fetch_window(spec, remaining_ms)

    def _follow(self, message: bytes, lifetime_ms: int, now: int) -> bool:
        update = parse_rekey(message)
        if update is None or self._ring.tek(update.key_id) is not None:
            return False
        before = self._ring.tek(update.follows)
        if before is None:
            raise FormatError(f"an update that follows {update.follows}, which is not held")
        if not self._ring.learn(follow_update(before, update), lifetime_ms, now):
            raise FormatError(f"an update to {update.key_id}, whose time is over")
        return True
