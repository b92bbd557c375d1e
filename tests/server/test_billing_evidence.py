"""Shows that requests for keys are kept as their devices signed them, as long as the operator wants."""

from sealcast.keyserver.tables import evidence
from sealcast.messages import jose, operations
from sealcast.messages.encoding import decode
from sealcast.messages.requests import KeyRequest
from sealcast.server.settings import BillingSettings
from server.airing import LIFETIME_MS, OnAir, on_air

DAY_MS = 86_400_000
KEPT = "SELECT device, channel, epochs, asked_at_ms, token FROM evidence ORDER BY number"


def begin(site: OnAir) -> None:
    """Put the first epoch on air, with a device that may have it."""
    site.device("TV-1")
    site.publish(1, 2)
    site.report(1, "start")


def test_a_grant_goes_back_to_a_signed_request() -> None:
    """It is kept with the grants, verifies under the device's key, and only where something was granted."""
    with on_air(billing=BillingSettings(evidence_days=1)) as site:
        begin(site)
        site.fetch("TV-1")
        site.fetch("TV-1")
        site.publish(3)
        site.pass_ms(LIFETIME_MS)
        site.report(2)
        site.fetch("TV-1")
        (first, second) = site.read(KEPT)
        assert first[:4] == ("TV-1", site.number, "1 2", site.began_ms)
        assert second[:4] == ("TV-1", site.number, "2 3", site.began_ms + LIFETIME_MS)
        signing = site.parties["TV-1"].credential.signing
        asked = decode(jose.verify(first[4], signing, typ=jose.TYP_REQUEST), KeyRequest)
        assert (asked.op, asked.channel) == (operations.KEYS.name, "news")

        site.pass_ms(DAY_MS)
        site.fetch("TV-1")
        assert [row[2] for row in site.read(KEPT)] == ["2 3"]


def test_a_retry_is_kept_once() -> None:
    """The same token again is the same request."""
    with on_air(billing=BillingSettings(evidence_days=1)) as site:
        begin(site)
        device = site.parties["TV-1"]
        site.run(device.fetch_nonce())
        token = device.token(operations.KEYS, channel="news")
        for _ in range(3):
            assert site.run(device.post(operations.KEYS, token)).status == 200
        assert len(site.read(KEPT)) == 1


def test_nothing_is_kept_unless_wanted() -> None:
    """By default there is none, and what was kept before the setting changed goes."""
    with on_air() as site:
        begin(site)
        row = {"device": "TV-1", "channel": 1, "epochs": "1", "token": "", "asked_at_ms": 5}
        site.look(lambda connection: connection.execute(evidence.insert(), row).close())
        site.fetch("TV-1")
        assert site.read(KEPT) == []
