"""Owns how a server of a cluster opens the bus that its settings name."""

from sealcast.cluster.bus import Bus
from sealcast.cluster.natsbus import open_nats_bus
from sealcast.cluster.natslink import NatsSettings
from sealcast.core.errors import LocalError
from sealcast.core.ports import Random
from sealcast.server.settings import KeyserverSettings
from sealcast.server.state import CA_PEM


async def open_bus(settings: KeyserverSettings, name: str, random: Random) -> Bus:
    """Return the bus, connected or still trying; `name` is this server's.

    Raises UsageError for what trying again does not cure, such as credentials that are refused.
    """
    cluster = settings.cluster
    if cluster is None:
        raise LocalError("a server that is the only one has no bus")
    return await open_nats_bus(
        NatsSettings(
            servers=cluster.bus,
            name=name,
            prefix=cluster.prefix,
            credentials=cluster.bus_credentials,
            ca=cluster.bus_ca or settings.state_directory / CA_PEM,
            is_master=cluster.role == "master",
        ),
        random,
    )
