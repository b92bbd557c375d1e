"""Owns documents as a page: one file without scripts or links, which prints on A4.

Each text is escaped where it is put in; the page itself forbids whatever could be loaded or run.
"""

from collections.abc import Iterable
from html import escape

from sealcast.billing.sheets import REPORT_HEADERS, REPORT_NOTE, Group, Part, Row, Sheet

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

STYLE = """
:root { color-scheme: light; --ink: #1d2733; --quiet: #5c6b7a; --rule: #d5dce3; --mark: #0b5c8c; }
* { box-sizing: border-box; }
body { margin: 0; background: #eef1f4; color: var(--ink);
  font: 15px/1.45 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
main { max-width: 52rem; margin: 2rem auto; padding: 3rem 3.25rem; background: #fff;
  box-shadow: 0 1px 8px rgb(0 0 0 / 12%); overflow-wrap: anywhere; }
header { display: flex; justify-content: space-between; align-items: flex-start; gap: 2rem;
  border-bottom: 3px solid var(--mark); padding-bottom: 1rem; }
header p { margin: 0; font-weight: 600; }
h1 { margin: 0; font-size: 1.7rem; line-height: 1.2; color: var(--mark); white-space: nowrap; }
.top { display: grid; grid-template-columns: 1fr 1.35fr; gap: 2.5rem; margin: 1.75rem 0 2rem; }
.to { margin: 0; font-size: 1.1rem; font-weight: 600; }
.to small { display: block; font-weight: 400; font-size: .8rem; color: var(--quiet); }
.due { margin: 1.1rem 0 0; font-size: 1.6rem; font-weight: 650; font-variant-numeric: tabular-nums; }
.due small { font-size: .9rem; font-weight: 400; color: var(--quiet); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.1rem; margin: 0;
  align-content: start; }
dt { color: var(--quiet); }
dd { margin: 0; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: .35rem .5rem; text-align: left; vertical-align: top; }
th:first-child, td:first-child { padding-left: 0; color: var(--quiet); width: 2.2rem; }
thead th { font-weight: 500; font-size: .8rem; color: var(--quiet); border-bottom: 1px solid var(--ink); }
.amount, .units { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
th.amount, td.amount { padding-right: 0; width: 6.5rem; }
.group th { padding: 1.3rem 0 .2rem; font-size: 1.02rem; color: var(--ink); font-weight: 600; width: auto; }
.group th.amount { font-weight: 600; }
.part td { padding: .3rem 0 .15rem; color: var(--mark); font-size: .87rem; }
.row + .part td { padding-top: .9rem; }
.row td { border-top: 1px solid var(--rule); }
.row p { margin: .1rem 0 0; color: var(--quiet); font-size: .85rem; }
.sums { width: auto; min-width: 19rem; margin: 1.75rem 0 0 auto; }
.sums th, .sums th:first-child { font-weight: 400; color: var(--quiet); padding-left: 0; width: auto;
  white-space: nowrap; }
.sums tr:last-child > * { border-top: 2px solid var(--ink); font-size: 1.15rem; font-weight: 650;
  color: var(--ink); padding-top: .5rem; }
.sums td, .sums td:first-child { color: var(--ink); }
h2 { font-size: 1.02rem; margin: 2.2rem 0 .2rem; }
.quiet { color: var(--quiet); font-size: .85rem; margin: 0 0 .5rem; }
.reports { font-size: .85rem; }
.reports th:first-child, .reports td:first-child { width: auto; color: inherit; }
footer { margin-top: 2.5rem; padding-top: .7rem; border-top: 1px solid var(--rule); color: var(--quiet);
  font-size: .72rem; }
@media (max-width: 40rem) { main { margin: 0; padding: 1.5rem 1.1rem; } .top { grid-template-columns: 1fr; }
  .units { white-space: normal; overflow-wrap: normal; } th.amount, td.amount { width: auto; } }
@page { size: A4; margin: 18mm 16mm; }
@media print { body { background: none; font-size: 10pt; } main { margin: 0; padding: 0; max-width: none;
  box-shadow: none; } thead { display: table-header-group; } .row { break-inside: avoid; }
  .group, .part { break-after: avoid; } .sums { break-inside: avoid; } }
"""


def html_of(sheet: Sheet) -> bytes:
    """Return a sheet as one HTML page in UTF-8."""
    title = escape(f"{sheet.title} · {sheet.issuer}")
    return "\n".join(
        (
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="robots" content="noindex">',
            f"<title>{title}</title>",
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            "<main>",
            *_head(sheet),
            *_lines(sheet),
            *_sums(sheet),
            *_reports(sheet),
            f"<footer>{escape(sheet.title)} · SHA-256 of the document {escape(sheet.sha256)}</footer>",
            "</main>",
            "</body>",
            "</html>",
            "",
        )
    ).encode()


def _head(sheet: Sheet) -> Iterable[str]:
    due = sheet.totals[-1]
    yield f"<header><p><bdi>{escape(sheet.issuer)}</bdi></p><h1>{escape(sheet.title)}</h1></header>"
    yield '<section class="top"><div>'
    known_as = "" if sheet.recipient == sheet.recipient_id else f"<small>{escape(sheet.recipient_id)}</small>"
    yield f'<p class="to"><bdi>{escape(sheet.recipient)}</bdi>{known_as}</p>'
    yield f'<p class="due"><small>{escape(due.label)}</small><br>'
    yield f"{escape(due.amount)} {escape(sheet.currency)}</p>"
    yield "</div><dl>"
    for label, value in sheet.facts:
        yield f"<dt>{escape(label)}</dt><dd><bdi>{escape(value)}</bdi></dd>"
    yield "</dl></section>"


def _lines(sheet: Sheet) -> Iterable[str]:
    yield "<table><thead><tr><th>Line</th><th>What for</th>"
    yield f'<th class="units">Units</th><th class="amount">{escape(sheet.currency)}</th></tr></thead>'
    for group in sheet.groups:
        yield from _group(group)
    yield "</table>"


def _group(group: Group) -> Iterable[str]:
    yield "<tbody>"
    yield f'<tr class="group"><th colspan="3"><bdi>{escape(group.heading)}</bdi></th>'
    yield f'<th class="amount">{escape(group.amount)}</th></tr>'
    for part in group.parts:
        yield from _part(part)
    yield "</tbody>"


def _part(part: Part) -> Iterable[str]:
    if part.heading:
        yield f'<tr class="part"><td colspan="4">{escape(part.heading)}</td></tr>'
    for row in part.rows:
        yield from _row(row)


def _row(row: Row) -> Iterable[str]:
    notes = "".join(f"<p>{escape(note)}</p>" for note in row.notes)
    yield f'<tr class="row"><td>{escape(row.place)}</td><td><bdi>{escape(row.name)}</bdi>{notes}</td>'
    yield f'<td class="units">{escape(row.units)}</td><td class="amount">{escape(row.amount)}</td></tr>'


def _sums(sheet: Sheet) -> Iterable[str]:
    yield '<table class="sums">'
    for total in sheet.totals:
        unit = f" {escape(sheet.currency)}" if total is sheet.totals[-1] else ""
        yield f"<tr><th>{escape(total.label)}</th>"
        yield f'<td class="amount">{escape(total.amount)}{unit}</td></tr>'
    yield "</table>"


def _reports(sheet: Sheet) -> Iterable[str]:
    if not sheet.reports:
        return
    yield f'<h2>Receptions</h2><p class="quiet">{escape(REPORT_NOTE)}</p>'
    yield '<table class="reports"><thead><tr>'
    yield "".join(f"<th>{escape(each)}</th>" for each in REPORT_HEADERS)
    yield "</tr></thead>"
    for report in sheet.reports:
        yield f"<tr>{''.join(f'<td>{escape(each)}</td>' for each in report)}</tr>"
    yield "</table>"
