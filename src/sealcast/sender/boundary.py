"""Owns the boundary between two contents: the key changes with the first packet of the second one (S1-7)."""

from dataclasses import dataclass

from sealcast.core.channel import ChannelSpec
from sealcast.core.ports import NS_PER_MS
from sealcast.keys.policy import prefetch_ms


@dataclass(frozen=True, slots=True)
class Boundary:
    """A change of content expected at `at_ns`; `lifetime_ms` is that of its keys, None as it was before."""

    at_ns: int
    lifetime_ms: int | None = None

    def takes(self, spec: ChannelSpec, ends_ns: int) -> bool:
        """Whether an epoch that would end at `ends_ns` ends with the content instead.

        It does if the content changes sooner, or less than Y later: two changes so close to one another would
        leave receivers less than their window for the second.
        """
        return self.at_ns - prefetch_ms(spec) * NS_PER_MS < ends_ns
