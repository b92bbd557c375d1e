"""Shows that devices are identified, certified and revoked through a replica, which asks the master."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
from cryptography import x509

from sealcast.device.chains import read_party
from sealcast.device.newkeys import KeyKind, new_keys
from sealcast.messages import operations
from sealcast.messages import operations_identifying as identifying
from sealcast.messages.enrolment import CRL_PATH, NEWCOMER
from sealcast.server.cluster.open_replica import open_replica
from sealcast.server.cluster.replica import Replica
from sealcast.server.cluster.secrets import NewServer, add_server
from sealcast.server.settings import ClusterSettings, KeyserverSettings
from sealcast.server.state import load_server_state
from server.inprocess import Guest, call
from server.masters import Masters, Side, masters, until
from server.newcomers import enrol, invite
from server.overhttps import serving
from server.running import RANDOM

NAME, PORT = "far", 8445
EVIDENCE = "contract 2041"


@dataclass
class Far:
    """A replica whose master is reached over HTTPS, and whoever asks it."""

    site: Masters
    replica: Replica

    def side(self, **changed: Any) -> Guest:
        """Return the operator's side of the replica, or that of whoever `changed` makes of it."""
        credential = msgspec.structs.replace(self.site.credential, **changed)
        return Guest(credential, "", None, None, app=self.replica.app)  # type: ignore[arg-type] # no network

    async def told(self) -> None:
        """Wait until the replica was told all that the master knows by now."""
        (version,) = self.site.read("SELECT version FROM cluster_lease")[0]
        await until(lambda: self.replica.freshness.version > version)

    @property
    def relayed(self) -> float:
        """How many requests the replica has handed to the master."""
        told = self.replica.public.render_metrics().decode()
        return float(re.findall(r'sealcast_replica_relayed_total\{outcome="ok"\} (\S+)', told)[0])

    async def revoked(self) -> set[str]:
        """Return who is on the list of revoked certificates as the replica gives it."""
        status, _, body = await call(self.replica.app, "GET", CRL_PATH, b"")
        assert status == 200
        return {f"{each.serial_number:x}" for each in x509.load_der_x509_crl(body)}


@contextlib.asynccontextmanager
async def replica_of(site: Masters, url: str) -> AsyncIterator[Far]:
    """Run a replica of the master that listens at `url`."""
    folder = site.folder / NAME
    new = NewServer("replica", NAME, ("127.0.0.1",), (f"https://127.0.0.1:{PORT}",))
    add_server(site.folder / "one", folder, new, random=RANDOM, wall_ns=site.clock.wall_ns())
    cluster = ClusterSettings("replica", ("nats://in.memory",))
    urls = (url, f"https://127.0.0.1:{PORT}")
    settings = KeyserverSettings(folder, "127.0.0.1", PORT, urls=urls, cluster=cluster)
    state = load_server_state(folder)
    replica = await open_replica(state, settings, site.clock, RANDOM, bus=site.bus.client(NAME))
    tasks = [asyncio.create_task(each) for each in replica.beside()]
    try:
        yield Far(site, replica)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await replica.close()


def test_a_device_is_identified_at_a_replica() -> None:
    """Enrolment, identification, certificates and the revocation list: all of it is there at a replica.

    The replica itself gives keys to the device under its new certificates; undone, these are revoked.
    """

    async def run() -> None:
        async with masters() as site:
            master = await site.open()
            side = Side(site, master)
            await side.add_channel("news")
            async with serving(master.app, site.folder / "one") as url, replica_of(site, url) as far:
                signing, kek = new_keys(KeyKind.ED25519, RANDOM)
                guest = far.side(role="device", id=NEWCOMER, signing=signing, kek=kek)
                enrolled = await enrol(guest, await invite(side, id="tv", channels=["news"]))
                assert enrolled.status == 200, enrolled.detail
                device, operator = guest.renamed("tv"), far.side()
                await operator.must(identifying.DEVICE_IDENTIFY, device="tv", evidence=EVIDENCE)
                answer = await device.must(operations.CERTIFICATE_RENEW)
                party = read_party(answer.certificates, site.credential.ca_pem)
                assert (party.id, party.is_identified) == ("tv", True)
                assert not await far.revoked() & set(party.serials)
                await far.told()
                before = far.relayed
                assert (await device.must(operations.KEYS, channel="news")).channel.name == "news"
                assert far.relayed == before, "the replica knows the new certificates itself"
                (row,) = (await operator.must(identifying.IDENTIFIED_LIST)).devices
                assert (row.device, row.evidence, row.is_certified) == ("tv", EVIDENCE, True)
                await operator.must(identifying.DEVICE_IDENTIFY, device="tv", undo=True)
                assert await far.revoked() >= set(party.serials)

    asyncio.run(run())
