"""Owns an account elsewhere for tests: a database of its own, that fails and hears things late and twice."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field

from sealcast.escrow.payments import Move

SCHEMA = """
CREATE TABLE accounts (name TEXT PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0));
CREATE TABLE answers (ref TEXT, attempt INTEGER, covered INTEGER NOT NULL, PRIMARY KEY (ref, attempt));
CREATE TABLE moves (ref TEXT, what TEXT, PRIMARY KEY (ref, what));
"""
Say = Callable[[str], None]
"""Called at each point at which a call may fail, by its name; it raises to have it fail there."""


def no_fault(_: str) -> None:
    """Let everything succeed."""


@dataclass
class Bank:
    """Keeps `Payments`; what a caller did not get an answer to may be `late`, and is heard again."""

    fault: Say = no_fault
    seen: Callable[[str, Move], None] = lambda _what, _move: None
    """Told of each call that will move money, before it does."""

    late: list[tuple[str, Move]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._database.executescript(SCHEMA)

    def pay_in(self, name: str, amount: int) -> None:
        """Have money come in."""
        self._add(name, amount)

    def balance(self, name: str) -> int:
        """Return what an account has."""
        row = self._database.execute("SELECT balance FROM accounts WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def total(self) -> int:
        """Return what all accounts have."""
        return int(self._database.execute("SELECT coalesce(sum(balance), 0) FROM accounts").fetchone()[0])

    def moves(self, order: str) -> list[str]:
        """Return what was done for an order."""
        rows = self._database.execute("SELECT what FROM moves WHERE ref = ? ORDER BY what", (order,))
        return [row[0] for row in rows]

    def hold(self, move: Move) -> bool:
        """Hold the price of an order."""
        return self._call("hold", move)

    def release(self, move: Move) -> None:
        """Release it to the seller."""
        self._call("release", move)

    def refund(self, move: Move) -> None:
        """Give it back."""
        self._call("refund", move)

    def hear_late(self, place: int) -> None:
        """Hear once more something that nobody waits for an answer to."""
        what, move = self.late.pop(place)
        self._carry_out(what, move, no_fault)

    def _call(self, what: str, move: Move) -> bool:
        try:
            self.fault("before it was heard")
            answer = self._carry_out(what, move, self.fault)
            self.fault("before it was answered")
        except Exception:
            # What was on its way when the caller gave up, or died, may come yet.
            self.late.append((what, move))
            raise
        return answer

    def _carry_out(self, what: str, move: Move, fault: Say) -> bool:
        self._database.execute("BEGIN")
        try:
            answer = self._decide(what, move, fault)
            fault("before it was written")
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")
        return answer

    def _decide(self, what: str, move: Move, fault: Say) -> bool:
        known = self._database.execute(
            "SELECT covered FROM answers WHERE ref = ? AND attempt = ?", (move.order, move.attempt)
        ).fetchone()
        if known:
            return bool(known[0])
        is_covered = what != "hold" or self.balance(f"buyer {move.buyer}") >= move.price_micro
        self._database.execute("INSERT INTO answers VALUES (?, ?, ?)", (move.order, move.attempt, is_covered))
        if is_covered:
            self.seen(what, move)
            # An end is one of two: the second would not get past the key of the table.
            end = what if what == "hold" else "end"
            self._database.execute("INSERT INTO moves VALUES (?, ?)", (move.order, end))
            fee = move.fee_micro if what == "release" else 0
            way = {
                "hold": (f"buyer {move.buyer}", f"held {move.order}"),
                "release": (f"held {move.order}", f"seller {move.seller}"),
                "refund": (f"held {move.order}", f"buyer {move.buyer}"),
            }[what]
            self._add(way[0], -move.price_micro)
            fault("between its writes")
            self._add(way[1], move.price_micro - fee)
            self._add("fee", fee)
        return is_covered

    def _add(self, name: str, amount: int) -> None:
        self._database.execute("INSERT OR IGNORE INTO accounts VALUES (?, 0)", (name,))
        self._database.execute("UPDATE accounts SET balance = balance + ? WHERE name = ?", (amount, name))
