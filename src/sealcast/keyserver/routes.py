"""Owns which operations are the key server's own, and who carries them out."""

from sealcast.keyserver.calls import Handler
from sealcast.keyserver.registry import RegistryDesk
from sealcast.keyserver.sending import SenderDesk
from sealcast.messages import operations


def handlers(sending: SenderDesk, registry: RegistryDesk) -> tuple[Handler, ...]:
    """Return the handlers of the operations that need no other feature."""
    return (
        Handler(operations.LEASE, sending.lease, sending.repeat_lease),
        Handler(operations.PUBLISH, sending.publish),
        Handler(operations.GENERATE, sending.generate, sending.repeat_generate),
        Handler(operations.ON_AIR, sending.report),
        Handler(operations.SHARE, sending.share),
        Handler(operations.REGISTRY_ADD, registry.add),
        Handler(operations.REGISTRY_REMOVE, registry.remove),
        Handler(operations.REGISTRY_LIST, registry.list),
    )
