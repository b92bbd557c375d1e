"""Shows that what the pages for operators and the dashboard name exists: deeds, metrics, units."""

import json
import re
from pathlib import Path

from sealcast.escrow.orders import ENDS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "operating" / "README.md").read_text(encoding="utf-8")
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src" / "sealcast").rglob("*.py"))
DASHBOARD = ROOT / "deploy" / "grafana" / "sealcast.json"
NAMES_OF_A_HISTOGRAM = ("_bucket", "_sum", "_count")


def test_every_deed_is_explained() -> None:
    """The table of the audit log has each name that the code records, and no other."""
    recorded = set(re.findall(r'(?:\brecord\(|AuditRow\(wall_ms, "[a-z]+", )"([a-z-]+)"', SOURCE))
    table = PAGE[PAGE.index("| row | says |") : PAGE.index("What devices were granted")]
    assert set(re.findall(r"`([a-z-]+)`", table)) == recorded


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    """Each metric that a panel names is one that a server counts."""
    defined = set(re.findall(r'"(sealcast_[a-z_]+)"', SOURCE))
    asked = set(re.findall(r"sealcast_[a-z_]+", DASHBOARD.read_text(encoding="utf-8")))
    for name in asked - {"sealcast_"}:
        bare = name.removesuffix("_total")
        for ending in NAMES_OF_A_HISTOGRAM:
            bare = bare.removesuffix(ending)
        assert bare in defined or name in defined, name


def test_the_dashboard_tells_ends_from_the_rest() -> None:
    """One panel shows the orders at their end, another all others: none is in both or in neither."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    found = [
        re.findall(r'state(!~|=~)"([a-z|]+)"', each) for each in asked if "sealcast_escrow_orders" in each
    ]
    named = {how: set(states.split("|")) for ((how, states),) in found}
    assert named == {"!~": set(ENDS), "=~": set(ENDS)}


def test_the_dashboard_is_laid_out() -> None:
    """Panels have titles and places of their own, and none covers another."""
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_unit_is_named() -> None:
    """The page has each unit that there is."""
    for unit in (ROOT / "deploy" / "systemd").glob("*.service"):
        assert f"`{unit.stem}" in PAGE, unit.name
