"""Shows the audit: all is well where nobody meddled, and whatever somebody changes by hand is found."""

from collections.abc import Iterator
from typing import Any

import pytest

from sealcast.messages import operations, operations_billing
from sealcast.messages.charging import AuditAnswer, Finding
from sealcast.server.billing.audit import Audited, audit_piece
from sealcast.server.billing.audit_books import BOOK_CHECKS
from sealcast.server.billing.audit_usage import USAGE_CHECKS
from sealcast.server.settings import BillingSettings
from server.airing import LIFETIME_MS, OnAir, on_air
from server.charging import flat
from server.withdrawals import signed, statement_of

PIECES_MAX = 100
DAY_MS = 86_400_000


def audit(site: OnAir) -> tuple[dict[str, int], list[Finding]]:
    """Have everything verified, piece by piece."""
    checked: dict[str, int] = {}
    findings: list[Finding] = []
    after: str | None = ""
    for _ in range(PIECES_MAX):
        piece: AuditAnswer = site.ask(operations_billing.USAGE_AUDIT, after=after)
        for kind, count in piece.checked.items():
            checked[kind] = checked.get(kind, 0) + count
        findings += piece.findings
        after = piece.next
        if after is None:
            return checked, findings
    raise AssertionError("the audit has no end")


@pytest.fixture(scope="module")
def site() -> Iterator[OnAir]:
    """Give a channel that was on air, with usage, a withdrawal, evidence, invoices and a ledger."""
    with on_air(billing=BillingSettings(evidence_days=100, cycle="daily")) as found:
        found.ask(
            operations_billing.TARIFF_ADD, name="basic", currency="EUR", terms=flat(), channels=["news"]
        )
        found.device("TV-1")
        found.device("TV-2")
        found.publish(1, 2)
        found.report(1, "start")
        found.fetch("TV-1")
        found.fetch("TV-2")
        leaver = found.parties["TV-2"]
        begun = found.run(leaver.must(operations.WITHDRAWAL, channel="news"))
        found.run(leaver.must(operations.WITHDRAW, statement=signed(leaver, statement_of(leaver, begun))))
        found.at(10)
        found.report(2, e1=LIFETIME_MS)
        found.at(20)
        found.report(2, ended=True, e2=LIFETIME_MS)
        found.pass_ms(2 * DAY_MS)
        found.ask(operations_billing.INVOICE_CLOSE)
        yield found


def test_all_is_as_it_has_to_be(site: OnAir) -> None:
    """Everything on record is looked at, and nothing is found."""
    checked, findings = audit(site)
    assert findings == []
    assert checked["invoices"] == 1
    assert checked["ledger entries"] == checked["invoices"]
    assert {
        kind: checked[kind] for kind in ("grants", "requests", "erasure statements", "epochs on air")
    } == {
        "grants": 4,
        "requests": 2,
        "erasure statements": 1,
        "epochs on air": 2,
    }


MEDDLED = [
    ("INSERT INTO grants VALUES ('TV-2', 1, 9, 99999999999999, NULL)", "grant-without-key"),
    ("INSERT INTO grants VALUES ('TV-2', 1, 9, 99999999999999, NULL)", "grant-without-subscription"),
    ("UPDATE subscriptions SET fence_epoch = 2 WHERE device = 'TV-1'", "grant-without-subscription"),
    (
        "UPDATE evidence SET token = substr(token, 1, length(token) - 4) || 'AAAA' WHERE number = 1",
        "evidence",
    ),
    ("UPDATE evidence SET epochs = '1 2 3' WHERE number = 1", "evidence"),
    ("UPDATE evidence SET device = 'TV-2' WHERE number = 1", "evidence"),
    ("UPDATE withdrawals SET statement = statement || 'A'", "erasure"),
    ("INSERT INTO erasures SELECT number, 1, 7, 'TV-2', 5, NULL FROM withdrawals", "erasure"),
    ("UPDATE totals SET bytes = bytes + 1 WHERE epoch = 1", "air"),
    ("UPDATE aired SET packets = packets - 1 WHERE epoch = 1", "air"),
    ("DELETE FROM aired WHERE epoch = 1", "air-gap"),
    ("UPDATE aired SET start_ms = start_ms - 1 WHERE epoch = 1", "air"),
    ("UPDATE aired SET end_ms = end_ms + 1 WHERE epoch = 1", "air"),
    ("DELETE FROM erasures WHERE epoch = 2", "erasure"),
    ("UPDATE invoices SET corrects = 1", "invoice"),
    ("UPDATE invoice_lines SET period_start_ms = period_start_ms + 86400000 WHERE line = 1", "invoice"),
    ("UPDATE invoice_lines SET is_tax = 1 WHERE line = 1", "invoice"),
    ("UPDATE invoices SET document = CAST(replace(document, 'EUR', 'USD') AS BLOB)", "invoice"),
    ("UPDATE invoices SET total_minor = total_minor + 1", "invoice"),
    ("UPDATE invoice_lines SET due_minor = due_minor + 1 WHERE line = 1", "invoice"),
    ("UPDATE ledger_postings SET amount_micro = amount_micro + 1 WHERE place = 1", "ledger"),
    ("UPDATE ledger_entries SET id = 'invoice-999999' WHERE number = 1", "invoice"),
    ("UPDATE ledger_postings SET amount_micro = amount_micro + 1 WHERE place = 1", "invoice"),
    ("DELETE FROM invoices WHERE number = 1", "ledger-without-document"),
    ("UPDATE invoices SET number = 2", "invoice-gap"),
]


@pytest.mark.parametrize(("statement", "kind"), MEDDLED)
def test_what_somebody_changed_is_found(site: OnAir, statement: str, kind: str) -> None:
    """Each change in the database, with its triggers and keys out of the way, is named by its kind."""
    raised: list[Any] = []

    def meddle(connection: Any) -> None:
        """Audit inside a unit of work that is undone."""
        for (name,) in connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).all():
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        connection.exec_driver_sql(statement)
        audited = Audited(connection, site.operator.credential.operator, site.signing_keys)
        after: str | None = ""
        while after is not None:
            piece = audit_piece(audited, {**USAGE_CHECKS, **BOOK_CHECKS}, after)
            raised.extend(piece.findings)
            after = piece.next
        raise LookupError

    with pytest.raises(LookupError):
        site.look(meddle)
    assert kind in {finding.kind for finding in raised}
    assert all(finding.detail for finding in raised)


@pytest.mark.parametrize("after", ["x", "grants 1", "grants 1 x y", "air x", "ledger " + "9" * 30])
def test_a_place_that_is_none_is_refused(site: OnAir, after: str) -> None:
    """Only what an answer gave as next."""
    reply = site.run(site.operator.ask(operations_billing.USAGE_AUDIT, after=after))
    assert reply.problem == "bad-request"


def test_a_device_that_was_registered_anew() -> None:
    """What it signed under its first key, which is erased, is no finding; what it signs now is verified."""
    with on_air(billing=BillingSettings(evidence_days=100)) as site:
        site.publish(1, 2)
        site.report(1, "start")
        for _ in range(2):
            site.device("TV-1")
            site.fetch("TV-1")
            device = site.parties["TV-1"]
            begun = site.run(device.must(operations.WITHDRAWAL, channel="news"))
            site.run(device.must(operations.WITHDRAW, statement=signed(device, statement_of(device, begun))))
            site.pass_ms(60_000)
            site.ask(operations.REGISTRY_REMOVE, id="TV-1")
        site.device("TV-1")
        site.publish(3)
        site.report(2)
        site.fetch("TV-1")
        checked, findings = audit(site)
        assert findings == []
        assert checked["requests whose device's key is erased"] == 1
        assert checked["erasure statements whose device's key is erased"] == 2
        assert checked["requests"] == 1
        site.look(lambda connection: connection.exec_driver_sql("UPDATE evidence SET token = 'x'").close())
        assert [finding.kind for finding in audit(site)[1]] == ["evidence"]
