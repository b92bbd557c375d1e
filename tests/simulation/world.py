"""Owns simulated time: it jumps from event to event, and carries packets, questions and answers."""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Protocol

from sealcast.core.ports import NS_PER_S
from sealcast.testing import MessageArrival, PacketArrival, SimClock, SimEndpoint, SimNetwork, SimRandom
from simulation.keyserver import Answer, ModelKeyServer, Question

ASK_NS = 2 * NS_PER_S
"""How long an answer is waited for."""

SAME_INSTANT_MAX = 2_000
"""More rounds than this, and a few for each node, without time passing are a session that spins."""

SAME_INSTANT_MAX_PER_NODE = 10
"""All receivers drop a key at one instant; a node that was replanned comes up again, for nothing."""

Answered = Callable[[Answer | None, int], None]


class Node(Protocol):
    """Somebody in the world."""

    endpoint: SimEndpoint

    def take(self, packets: list[PacketArrival], now: int) -> None:
        """Take the packets that arrived at this instant."""

    def wake(self, now: int) -> None:
        """Do what is due."""

    def due_ns(self) -> int | None:
        """Return when to be woken next."""


@dataclass(frozen=True, slots=True)
class Message:
    """A question on its way, or its answer on the way back."""

    number: int
    content: Question | Answer


class World:
    """The network, the key server and all that live there; `run_until` makes the time pass."""

    def __init__(self, keyserver: ModelKeyServer, seed: int = 1) -> None:
        self.clock = SimClock()
        self.random = SimRandom(seed)
        self.network = SimNetwork(seed)
        self.keyserver = keyserver
        self.is_keyserver_up = True
        self.rounds = 0
        self._at_keyserver = self.network.endpoint("keyserver")
        self._nodes: dict[SimEndpoint, Node] = {}
        self._planned_ns: dict[SimEndpoint, int] = {}
        self._calls: list[tuple[int, int, Callable[[int], None]]] = []
        self._order = count()
        self._waiting: dict[int, Answered] = {}

    @property
    def now(self) -> int:
        """The present, in monotonic ns."""
        return self.clock.monotonic_ns()

    def add(self, node: Node) -> None:
        """Bring somebody into the world."""
        self._nodes[node.endpoint] = node
        self.refresh(node)

    def at(self, at_ns: int, call: Callable[[int], None]) -> None:
        """Plan a call."""
        heappush(self._calls, (at_ns, next(self._order), call))

    def refresh(self, node: Node) -> None:
        """Plan a node's next timeout; call it after whatever may have changed that."""
        due_ns = node.due_ns()
        planned_ns = self._planned_ns.get(node.endpoint)
        if due_ns is not None and (planned_ns is None or due_ns < planned_ns):
            self._planned_ns[node.endpoint] = due_ns
            self.at(due_ns, lambda now: self._wake(node, due_ns, now))

    def ask(self, node: Node, question: Question, answered: Answered) -> None:
        """Ask the key server; `answered` is called once, with None if no answer comes in time."""
        number = next(self._order)
        self._waiting[number] = answered
        self.network.send_message(node.endpoint, self._at_keyserver, Message(number, question), self.now)
        self.at(self.now + ASK_NS, lambda now: self._answered(node, number, None, now))

    def run_until(self, until_ns: int) -> None:
        """Let everything happen that happens up to an instant."""
        rounds, last_ns = 0, -1
        while (due_ns := self._next_ns()) is not None and due_ns <= until_ns:
            now = max(self.now, due_ns)
            rounds = rounds + 1 if now == last_ns else 0
            rounds_max = SAME_INSTANT_MAX + SAME_INSTANT_MAX_PER_NODE * len(self._nodes)
            assert rounds < rounds_max, f"time stands still at {now} ns"
            last_ns = now
            self.rounds += 1
            self.clock.advance_to(now)
            self._deliver(now)
            if self._calls and self._calls[0][0] <= now:
                heappop(self._calls)[2](now)
        self.clock.advance_to(until_ns)

    def run_for(self, duration_ns: int) -> None:
        """Let so much time pass."""
        self.run_until(self.now + duration_ns)

    def _next_ns(self) -> int | None:
        arrival_ns = self.network.next_delivery_ns()
        if not self._calls:
            return arrival_ns
        call_ns = self._calls[0][0]
        return call_ns if arrival_ns is None else min(call_ns, arrival_ns)

    def _wake(self, node: Node, planned_ns: int, now: int) -> None:
        if self._planned_ns.get(node.endpoint) == planned_ns:
            del self._planned_ns[node.endpoint]
            node.wake(now)
            self.refresh(node)

    def _deliver(self, now: int) -> None:
        packets: dict[SimEndpoint, list[PacketArrival]] = {}
        for arrival in self.network.deliver(now):
            if isinstance(arrival, PacketArrival):
                packets.setdefault(arrival.endpoint, []).append(arrival)
            else:
                self._take_message(arrival, now)
        for endpoint, arrived in packets.items():
            node = self._nodes[endpoint]
            node.take(arrived, now)
            self.refresh(node)

    def _take_message(self, arrival: MessageArrival, now: int) -> None:
        message = arrival.message
        assert isinstance(message, Message)
        if arrival.endpoint is not self._at_keyserver:
            self._answered(self._nodes[arrival.endpoint], message.number, message.content, now)
        elif self.is_keyserver_up:
            answer = Message(message.number, self.keyserver.answer(message.content, now, arrival.sender.name))
            self.network.send_message(self._at_keyserver, arrival.sender, answer, now)

    def _answered(self, node: Node, number: int, answer: Answer | None, now: int) -> None:
        answered = self._waiting.pop(number, None)
        if answered is not None:
            answered(answer, now)
            self.refresh(node)
