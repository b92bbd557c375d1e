"""Time, chance and a network for simulations: seeded, without threads and without sleeping.

Our own tests drive the sessions of senders and receivers with these, and so can yours: docs/testing.md.
"""

from sealcast.testing.clock import SimClock
from sealcast.testing.links import DOWN, PERFECT, Bursts, Link
from sealcast.testing.network import (
    Arrival,
    EndpointStats,
    MessageArrival,
    PacketArrival,
    SimEndpoint,
    SimNetwork,
)
from sealcast.testing.randomness import SimRandom

__all__ = [
    "DOWN",
    "PERFECT",
    "Arrival",
    "Bursts",
    "EndpointStats",
    "Link",
    "MessageArrival",
    "PacketArrival",
    "SimClock",
    "SimEndpoint",
    "SimNetwork",
    "SimRandom",
]
