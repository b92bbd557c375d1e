"""Owns a program whose children die by kill -9 before each write with which a key server removes a device.

Arguments: an empty folder, and `list` or `party`: who is removed from one list, or made nobody. Each child
begins with a device that receives two channels; the n-th dies before its n-th write. Printed as JSON, a line
for each: whether it died, and what list, receptions, fences and audit say then, read from the disk.
"""

import json
import shutil
import sqlite3
import sys
from functools import partial
from pathlib import Path
from typing import Any

from faults.leaving import POINTS_MAX, Steps, dies_at, in_child, open_server
from sealcast.keyserver.air import AirState
from sealcast.keyserver.calls import Call, Principal, Reply
from sealcast.keyserver.notices import silent
from sealcast.keyserver.registry import RegistryDesk
from sealcast.messages.requests import RegistryRemoveRequest
from sealcast.messages.subscribing import SubscriberRemoveRequest
from sealcast.server.assigning import Assignments
from sealcast.server.evicting import Evictions
from sealcast.server.selling import SoldGate
from sealcast.server.subscribing import SubscriberDesk
from server.alone import BEGAN_MS, Alone, prepare

CLAIMS = {"aud": "", "op": "", "jti": "1", "nonce": ""}
NOW_MS = BEGAN_MS + 60_000


def carry_out(server: Alone, what: str, call: Call) -> Reply:
    """Remove the device, as the operator's request does."""
    evictions = Evictions(views=server.views, receptions=server.receptions, on_notice=silent)
    sold = SoldGate()
    registry = RegistryDesk(
        master=server.state.master_key,
        kek=server.state.kek,
        channels=Assignments(views=server.views, air=AirState(), evictions=evictions),
        sold=sold,
        is_reserved=lambda _: False,
        forget=server.principals.forget,
    )
    if what == "party":
        return registry.remove(call, RegistryRemoveRequest(id="tv", **CLAIMS))
    desk = SubscriberDesk(views=server.views, sold=sold, find=registry.find, evictions=evictions)
    return desk.remove(call, SubscriberRemoveRequest(channel="news", device="tv", now=True, **CLAIMS))


def die(folder: Path, what: str, point: int) -> None:
    """Remove the device, and die at a point; in a child."""
    server = open_server(folder)
    Steps(dies_at(point)).arm(server)
    keys = server.state.kek.public()
    operator = Principal("operator", "operator", keys, keys)
    server.unit_of_work.run_blocking(
        lambda connection: carry_out(server, what, Call(connection, operator, 0, NOW_MS))
    )
    server.close()


def look(folder: Path) -> dict[str, list[Any]]:
    """Return what the database says of the removal, by channel where that makes sense."""
    database = sqlite3.connect(folder / "server" / "keyserver.sqlite")
    queries = {
        "listed": "SELECT channel FROM subscriptions WHERE removed_at_ms IS NULL ORDER BY channel",
        "ended": "SELECT channel, ended_by, fence_epoch FROM subscriptions WHERE removed_at_ms IS NOT NULL"
        " ORDER BY channel",
        "received": "SELECT channel FROM receptions WHERE ended_at_ms IS NULL ORDER BY channel",
        "over": "SELECT channel, reason FROM receptions WHERE ended_at_ms IS NOT NULL ORDER BY channel",
        "fences": "SELECT channel, epoch, is_urgent FROM fences ORDER BY channel",
        "audit": "SELECT what, subject FROM audit ORDER BY id",
        "known": "SELECT id FROM principals WHERE removed_at_ms IS NULL AND role = 'device'",
    }
    found = {name: database.execute(query).fetchall() for name, query in queries.items()}
    database.close()
    return found


def main() -> None:
    """Let children die at every point until one lives."""
    base, what = Path(sys.argv[1]) / "base", sys.argv[2]
    prepare(base / "server", "tv")
    for point in range(1, POINTS_MAX):
        folder = base.with_name(f"point-{point}")
        shutil.copytree(base, folder)
        died, _ = in_child(partial(die, folder, what, point))
        print(json.dumps({"died": died, "left": look(folder)}), flush=True)
        shutil.rmtree(folder)
        if not died:
            return


if __name__ == "__main__":
    main()
