"""Settlement in any order of contracts, invoices, credits, clocks and payouts: it all adds up, and once."""

import contextlib
import datetime as dt
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from sealcast.billing import store_contracts, store_statements
from sealcast.billing.settlement import Billed, Month, cuts, settle
from sealcast.core.errors import RefusedError
from sealcast.ledger.money import currency
from sealcast.messages import operations_billing as operations
from sealcast.messages.bookkeeping import Statement
from sealcast.messages.encoding import decode
from server.settling import Books, net, terms

EXAMPLES, STEPS = 5, 20
DAY_MS = 86_400_000
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it

codes = st.sampled_from(["EUR", "JPY"])
broadcasters = st.sampled_from(["one", "two", "three"])
channels = st.sampled_from(["news", "film"])
subjects = st.tuples(channels, codes)
promises = st.fixed_dictionaries(
    {"share_parts": st.just(1), "share_of": st.integers(2, 7), "minimum_micro": st.integers(0, 10**8)}
)


class Settling(RuleBasedStateMachine):
    """One operator over months; `payouts` are what was paid so far, in micro-units."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.books = Books(Path(self._folder.name), "2026-01-01T00:00+01:00")
        self.numbers = {name: self.books.add_channel(name) for name in ("news", "film")}
        self.at = dt.datetime.fromisoformat("2026-01-01T00:00+01:00")
        self.payouts: Counter[tuple[str, str]] = Counter()
        self.paid = 0
        self.sign("one", ("news", "EUR"), {"share_parts": 2, "share_of": 3}, 0)
        self.sign("two", ("news", "EUR"), {"share_parts": 1, "share_of": 7}, 5)

    def teardown(self) -> None:
        """Settle the rest, look at all again, and end it."""
        self.check_all_again()
        self.books.close()
        self._folder.cleanup()

    @rule(days=st.integers(5, 45))
    def let_pass(self, days: int) -> None:
        """Let days pass."""
        self.at += dt.timedelta(days=days)
        self.books.be(self.at.isoformat())

    @rule(name=broadcasters, subject=subjects, terms_=promises, days=st.integers(-40, 20))
    def sign(self, name: str, subject: tuple[str, str], terms_: dict[str, int], days: int) -> None:
        """Sign a contract, if it fits."""
        from_ms = int(self.at.timestamp() * 1_000) + days * DAY_MS
        with contextlib.suppress(RefusedError):
            self.books.ask(operations.CONTRACT_ADD, terms=terms(name, *subject, **terms_), from_ms=from_ms)

    @rule(channel=channels, code=codes, minors=st.lists(st.integers(-(10**6), 10**7), min_size=1, max_size=3))
    def bill(self, channel: str, code: str, minors: list[int]) -> None:
        """Issue an invoice or a credit note."""
        lines = [net(self.numbers[channel], minor) for minor in minors]
        self.books.bill(self.at.isoformat(), *lines, code=code)

    @rule(limit=st.integers(1, 3), meanwhile=st.sampled_from(["", "", "settle", "sign"]))
    def settle(self, limit: int, meanwhile: str) -> None:
        """Settle some of what is due, maybe while others settle or sign."""

        def interrupt() -> None:
            if meanwhile == "settle":
                self.books.ask(operations.SETTLE, limit=1)
            elif meanwhile == "sign":
                self.sign("two", ("news", "EUR"), {"share_parts": 1, "share_of": 5}, -10)

        self.books.ask(operations.SETTLE, meanwhile=interrupt, limit=limit)

    @rule(name=broadcasters, code=codes)
    def pay(self, name: str, code: str) -> None:
        """Pay a broadcaster."""
        self.paid += 1
        answer = self.books.ask(operations.PAYOUT, id=f"p-{self.paid}", broadcaster=name, currency=code)
        self.payouts[name, code] += answer.paid_minor * currency(code).micro_per_minor
        assert answer.paid_minor >= 0
        assert answer.left_micro < currency(code).micro_per_minor

    @invariant()
    def statements_follow_each_other(self) -> None:
        """Nobody has two statements of one instant, and numbers have no gap."""
        rows = self.books.rows(
            "SELECT broadcaster, currency, start_ms, end_ms FROM statements ORDER BY 1, 2, 3"
        )
        for before, after in pairwise(rows):
            assert before[:2] != after[:2] or before[3] <= after[2]
        numbers = self.books.rows("SELECT number FROM statements ORDER BY number")
        assert numbers == [(number,) for number in range(1, len(rows) + 1)]

    @invariant()
    def the_ledger_agrees(self) -> None:
        """Compare accounts with statements less payouts; all balances add up to 0."""
        balances: Counter[tuple[str, str]] = Counter()
        total: Counter[str] = Counter()
        for row in self.books.ask(operations.LEDGER_BALANCES).balances:
            total[row.currency] += row.balance_micro
            if row.account.startswith("broadcaster:"):
                balances[row.account.removeprefix("broadcaster:"), row.currency] -= row.balance_micro
        assert set(total.values()) <= {0}
        stated: Counter[tuple[str, str]] = Counter()
        for name, code, amount in self.books.rows(
            "SELECT broadcaster, currency, amount_micro FROM statements"
        ):
            stated[name, code] += amount
        for key in {*stated, *balances}:
            assert balances[key] == stated[key] - self.payouts[key]

    def check_all_again(self) -> None:
        """Settle the rest; every statement is what a settlement of all invoices says at the end."""
        while self.books.ask(operations.SETTLE).more:
            pass
        assert self.books.ask(operations.SETTLE).statements == []
        documents = [row[0] for row in self.books.rows("SELECT document FROM statements ORDER BY number")]
        rows = self.books.rows(
            "SELECT broadcaster, currency, start_ms, end_ms FROM statements ORDER BY number"
        )

        def again(connection: Any) -> None:
            contracts = store_contracts.everything(connection)
            for document, (name, code, start_ms, end_ms) in zip(documents, rows, strict=True):
                whole_ms = end_ms - start_ms
                month = Month(start_ms, end_ms, whole_ms)
                billed: list[Billed] = []
                for first, last in pairwise((*cuts(contracts, month), end_ms)):
                    billed += store_statements.billed(connection, first, last)
                dues = [
                    due
                    for due in settle(contracts, billed, month)
                    if (due.contract.broadcaster, due.contract.currency) == (name, code)
                ]
                lines = decode(document, Statement).lines
                assert [line.amount_micro for line in lines] == [due.amount_micro for due in dues]
                assert [line.workings for line in lines] == [due.workings for due in dues]

        self.books.write(again)


def test_in_any_order() -> None:
    """Whatever happens in whatever order, statements are each once, and the ledger says what they say."""
    run_state_machine_as_test(
        Settling,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )
