"""Owns when a sender reports what is on air: at each change, regularly, and when it has a reason to ask."""

from sealcast.core.ports import NS_PER_S

REPORT_NS = 5 * NS_PER_S
"""The key server hears of the counters at least so often, and a sender of what it is ordered."""

REPORT_ALONE_NS = NS_PER_S // 2
"""How often one reports that sends a single channel and hears no events: it asks for its orders."""

REPORT_RETRY_NS = NS_PER_S // 2
"""A report without answer is made again after this: a switch may be waiting for it."""


class ReportSchedule:
    """Decides when the next report leaves; at most one is under way."""

    def __init__(self, now: int, every_ns: int) -> None:
        """Nothing is due before `ask`; then a report comes every `every_ns` while no events are heard."""
        self._unheard_every_ns = self._every_ns = every_ns
        self._due_ns: int | None = None
        self._silent_until_ns = now
        self._is_under_way = False

    def listen(self, *, is_listening: bool) -> None:
        """Note whether the key server's events are heard: then orders need not be asked for."""
        self._every_ns = max(REPORT_NS, self._unheard_every_ns) if is_listening else self._unheard_every_ns

    def ask(self, now: int) -> None:
        """Make a report due, or another one if the answer to one is awaited."""
        self._due_ns = now

    def restart(self, now: int) -> None:
        """Make the last report due; the answer to another is awaited no more."""
        self._due_ns, self._is_under_way = now, False

    def begin(self, now: int, *, is_waited_for: bool) -> bool:
        """Whether a report leaves now: it is due, or `is_waited_for` by a switch; True if it is begun."""
        if self._is_under_way:
            return False
        is_due = self._due_ns is not None and now >= self._due_ns
        if not is_due and not (is_waited_for and now >= self._silent_until_ns):
            return False
        self._is_under_way, self._due_ns = True, None
        return True

    def answered(self, now: int, *, is_last: bool) -> None:
        """Note that a report was taken in; a change since it left has made the next one due already."""
        self._is_under_way = False
        if self._due_ns is None and not is_last:
            self._due_ns = now + self._every_ns

    def failed(self, now: int) -> None:
        """Note that a report was not taken in: it is made again."""
        self._is_under_way = False
        self._due_ns = self._silent_until_ns = now + REPORT_RETRY_NS

    def next_timeout(self) -> int | None:
        """Return when a report is due."""
        return None if self._is_under_way else self._due_ns
