"""Owns when a receiver asks the sender, and which answer it believes (S1-15).

| trigger                                     | when it asks                                           |
|---------------------------------------------|--------------------------------------------------------|
| the first grant                             | at once                                                |
| the key on air ends                         | once, drawn from the last quarter of its time, and     |
|                                             | once within a tenth of a lifetime after, 60 s at most  |
| it goes on beyond its end                   | every 2 to 3 s                                         |
| packets fit nothing                         | within the grant's spread, but once in 2 s; while none |
|                                             | answers, 0.25 s after the last, doubling to 2 s        |
| packets fit a newer key already             | within a tenth of a lifetime, but once in 2 s          |
| no answer                                   | after 0.25 s, doubling to 60 s, with a random half     |

A SEAL packet says the same: for 10 s after one that verified nothing is asked, for 1 s where packets fit
nothing. Receivers draw their instants, so that a crowd does not ask at once. An answer counts if a registered
sender signed it with the nonce of a question that is not older than 5 s.
"""

from enum import IntEnum

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sealcast.core.errors import AuthenticationError, FormatError, ReplayError
from sealcast.core.ids import ChannelNumber, KeyId
from sealcast.core.ports import NS_PER_MS, NS_PER_S, Random
from sealcast.wire.asking import NONCE_BYTES, Question, build_question, parse_answer, verify_answer
from sealcast.wire.seal import Seal

ANSWER_NS = 5 * NS_PER_S
"""An answer that takes longer tells of another time than it seems to."""

NONCES_MAX = 4
"""So many questions may be under way; the first step of the back-off allows no more within `ANSWER_NS`."""

RETRY_NS = 250 * NS_PER_MS
RETRY_NS_MAX = 60 * NS_PER_S
"""Where nothing is sent nobody answers: 100,000 receivers that wait then ask 2,000 times a second."""

RETRIES_LOG2_MAX = 8

AHEAD_PART = 4
"""A receiver asks in the last quarter of a key's time: then the next key is there, and its window."""

AFTER_PART = 10
AFTER_NS_MAX = 60 * NS_PER_S
"""After a change nothing is urgent, since the next key is held: a crowd takes a tenth of a lifetime."""

AGAIN_NS = 2 * NS_PER_S
HEARD_NS = 10 * NS_PER_S
"""SEAL packets come every 5 s at least: one this recent says that control is heard."""

HEARD_NOW_NS = NS_PER_S
"""But those of most streams come every 0.2 s, and what fits nothing waits for 5 s."""


class Wanted(IntEnum):
    """How much a word of the sender is wanted, beyond what is planned."""

    NOT = 0
    SOON = 1
    NOW = 2


class QuestionPlanner:
    """Decides the instant of the next question, and judges answers."""

    def __init__(self, channel: ChannelNumber, random: Random, now: int) -> None:
        self._channel, self._random = channel, random
        self._senders: list[Ed25519PublicKey] = []
        self._nonces: dict[bytes, int] = {}
        self._due_ns: int | None = now
        self._tries = self._wishes = 0
        self._wanted = Wanted.NOT
        self._asked_ns: int | None = None
        self._sealed_ns: int | None = None
        self._ahead_for: KeyId | None = None
        self._drawn_for: tuple[KeyId, bool] | None = None
        self._after_ns = AFTER_NS_MAX

    def set_senders(self, keys: list[bytes]) -> None:
        """Take the registered senders' Ed25519 keys, 32 bytes each, from a grant."""
        self._senders = [Ed25519PublicKey.from_public_bytes(key) for key in keys]

    def poll(self, now: int) -> bytes | None:
        """Return the question to send now, or None."""
        if self._due_ns is None or now < self._due_ns:
            return None
        heard_ns = HEARD_NOW_NS if self._wanted is Wanted.NOW else HEARD_NS
        if self._sealed_ns is not None and now - self._sealed_ns < heard_ns:
            self._due_ns = self._sealed_ns + heard_ns + self._random.below(heard_ns // 2)
            return None
        nonce = self._random.bytes(NONCE_BYTES)
        self._nonces = {
            each: asked_ns for each, asked_ns in self._nonces.items() if now - asked_ns < ANSWER_NS
        }
        if len(self._nonces) >= NONCES_MAX:
            del self._nonces[next(iter(self._nonces))]
        self._nonces[nonce] = self._asked_ns = now
        step_ns = min(RETRY_NS << min(self._tries, RETRIES_LOG2_MAX), RETRY_NS_MAX)
        self._due_ns = now + step_ns // 2 + self._random.below(step_ns // 2 + 1)
        self._tries += 1
        self._wishes += self._wanted is Wanted.NOW
        self._wanted = Wanted.NOT
        return build_question(Question(self._channel, nonce))

    def take(self, data: bytes, now: int) -> Seal:
        """Return what an answer says.

        Raises FormatError, ReplayError (not the nonce of a question under way) or AuthenticationError; about
        150 µs for the signature, which is looked at last. Call `note_told` with what the session took.
        """
        answer = parse_answer(data)
        asked_ns = self._nonces.get(answer.nonce)
        if asked_ns is None or now - asked_ns >= ANSWER_NS:
            raise ReplayError("an answer to no question under way")
        if answer.seal.current.channel != self._channel:
            raise FormatError("an answer about another channel")
        for sender in self._senders:
            try:
                seal = verify_answer(answer, sender)
            except AuthenticationError:
                continue
            self._nonces.clear()
            return seal
        raise AuthenticationError("an answer that no registered sender signed")

    def note_told(self, seal: Seal, now: int, *, is_answer: bool) -> None:
        """Take a sender's word, verified, from an answer or a SEAL packet: plan the next question by it."""
        if is_answer:
            if self._asked_ns is not None and self._is_ahead(seal):
                self._ahead_for = seal.current
        else:
            self._sealed_ns = now
        was_waiting = self._tries > 0 or self._wanted is not Wanted.NOT
        self._tries, self._wishes, self._wanted = 0, 0, Wanted.NOT
        self._after_ns = min(AFTER_NS_MAX, seal.lifetime_ms * NS_PER_MS // AFTER_PART)
        remaining_ns = seal.remaining_ms * NS_PER_MS
        drawn_for = seal.current, self._ahead_for == seal.current
        is_drawn = drawn_for == self._drawn_for and not was_waiting and self._due_ns is not None
        if is_drawn and now <= (self._due_ns or 0) <= now + remaining_ns + self._after_ns:
            return
        self._drawn_for = drawn_for
        self._due_ns = now + self._draw(seal, remaining_ns)

    def want(self, now: int, spread_ms: int | None) -> None:
        """Ask because packets fit nothing, within `spread_ms`; None: because they fit a newer key.

        The instant is drawn once, however often this is called until a question is sent.
        """
        wish = Wanted.NOW if spread_ms is not None else Wanted.SOON
        if self._wanted >= wish:
            return
        self._wanted = wish
        spread_ns = self._after_ns if spread_ms is None else spread_ms * NS_PER_MS
        due_ns = now + self._random.below(spread_ns + 1)
        if self._asked_ns is not None:
            step_ns = min(RETRY_NS << min(self._wishes, RETRIES_LOG2_MAX), AGAIN_NS)
            due_ns = max(due_ns, self._asked_ns + (step_ns if self._tries else AGAIN_NS))
        if self._due_ns is None or due_ns < self._due_ns:
            self._due_ns = due_ns

    def next_timeout(self) -> int | None:
        """Return when `poll` has something to ask, in monotonic ns."""
        return self._due_ns

    def _is_ahead(self, seal: Seal) -> bool:
        return seal.remaining_ms * AHEAD_PART <= seal.lifetime_ms

    def _draw(self, seal: Seal, remaining_ns: int) -> int:
        """Return in how many ns to ask again."""
        if seal.extended or not remaining_ns:
            return AGAIN_NS + self._random.below(AGAIN_NS // 2)
        if self._ahead_for == seal.current:
            return remaining_ns + self._random.below(self._after_ns + 1)
        quarter_ns = min(remaining_ns, seal.lifetime_ms * NS_PER_MS // AHEAD_PART)
        return remaining_ns - self._random.below(quarter_ns + 1)
