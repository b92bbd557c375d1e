"""Owns the desks of a key server: who carries out each operation, and what they share."""

from collections.abc import Callable
from dataclasses import dataclass

from sealcast.core.ports import Random
from sealcast.keyserver.air import AirState
from sealcast.keyserver.calls import Handler
from sealcast.keyserver.notices import OnNotice, silent
from sealcast.keyserver.ports import ReceptionEnds, Receptions
from sealcast.keyserver.registry import RegistryDesk
from sealcast.keyserver.routes import handlers as keyserver_handlers
from sealcast.keyserver.sending import SenderDesk
from sealcast.keyserver.views import Views
from sealcast.messages import operations
from sealcast.server.assigning import Assignments
from sealcast.server.auditing import audit_handlers
from sealcast.server.billing.evidence import EvidenceKeeper
from sealcast.server.billing.handlers import billing_handlers
from sealcast.server.billing.shared import BillingShared
from sealcast.server.certifying import CertificateDesk
from sealcast.server.channels import ChannelDesk
from sealcast.server.cluster.status import status_handlers
from sealcast.server.enrolling import EnrolmentDesk, enrolment_handlers
from sealcast.server.evicting import Evictions
from sealcast.server.identifying import IdentifyingDesk, identifying_handlers
from sealcast.server.issuing import Issuer
from sealcast.server.offending import offender_handlers
from sealcast.server.principals import Principals
from sealcast.server.receiving import ReceivingDesk, receiving_handlers
from sealcast.server.request_key import AllowListAdmission, KeyDesk
from sealcast.server.selling import SoldDesk, SoldGate, selling_handlers
from sealcast.server.settings import KeyserverSettings
from sealcast.server.state import ServerState
from sealcast.server.subscribing import SubscriberDesk, subscriber_handlers
from sealcast.server.withdrawing import WithdrawalDesk, withdrawal_handlers


@dataclass(frozen=True, slots=True)
class Shared:
    """What the desks share: the server's state, what it remembers, and chance."""

    state: ServerState
    settings: KeyserverSettings
    views: Views
    air: AirState
    principals: Principals
    random: Random
    on_grants: Callable[[int], None]
    receptions: ReceptionEnds
    billing: BillingShared
    on_notice: OnNotice = silent
    is_distributed: bool = False

    @property
    def urls(self) -> tuple[str, ...]:
        """Where parties reach the operator's key servers."""
        return self.settings.urls or self.state.urls


class Desks:
    """All desks of a key server; `manager` keeps its receptions."""

    def __init__(self, shared: Shared, manager: Receptions) -> None:
        state, views, air = shared.state, shared.views, shared.air
        self.sending = SenderDesk(
            master=state.master_key,
            kek=state.kek,
            views=views,
            air=air,
            random=shared.random,
            key_servers=shared.urls,
            on_notice=shared.on_notice,
        )
        evictions = _evictions(shared)
        assignments, sold = Assignments(views=views, air=air, evictions=evictions), SoldGate()
        issuer = Issuer(state.issuer, state.operator, shared.random, days=shared.settings.certificate_days)
        self._registry = RegistryDesk(
            master=state.master_key,
            kek=state.kek,
            channels=assignments,
            sold=sold,
            is_reserved=shared.principals.is_reserved,
            forget=shared.principals.forget,
        )
        self._enrolment = EnrolmentDesk(
            registry=self._registry, assignments=assignments, issuer=issuer, random=shared.random
        )
        self.certificates = _certificates(shared, issuer, self._registry, assignments)
        self._identifying = _identifying(shared, issuer, self._registry, self.certificates)
        self._keys = KeyDesk(
            views=views,
            air=air,
            admission=AllowListAdmission,
            receptions=manager,
            key_servers=shared.urls,
            on_grants=shared.on_grants,
            evidence=EvidenceKeeper(shared.settings.billing.evidence_days),
        )
        self.manager = manager
        self._receiving = ReceivingDesk(views=views, receptions=manager, admission=AllowListAdmission)
        self._channels = ChannelDesk(
            views=views,
            air=air,
            assignments=assignments,
            evictions=evictions,
            receptions=shared.receptions,
        )
        self._subscribers = SubscriberDesk(
            views=views, sold=sold, find=self._registry.find, evictions=evictions
        )
        self._billing = billing_handlers(shared.billing)
        self._withdrawals = WithdrawalDesk(
            operator=state.operator,
            signing=state.signing,
            views=views,
            ends=shared.receptions,
            random=shared.random,
        )

    def use_key_servers(self, urls: tuple[str, ...]) -> None:
        """Tell parties these addresses from now on."""
        self.sending.key_servers = self._keys.key_servers = urls

    def use_events(self, urls: tuple[str, ...]) -> None:
        """Tell parties that these addresses push events from now on."""
        self.sending.events = self._keys.events = urls

    def handlers(self) -> tuple[Handler, ...]:
        """Return how each operation is carried out."""
        keys, channels = self._keys, self._channels
        return (
            *keyserver_handlers(self.sending, self._registry),
            *enrolment_handlers(self._enrolment, self.certificates),
            *identifying_handlers(self._identifying),
            *selling_handlers(SoldDesk()),
            *subscriber_handlers(self._subscribers),
            *offender_handlers(),
            *audit_handlers(),
            *status_handlers(),
            *withdrawal_handlers(self._withdrawals),
            *self._billing,
            *receiving_handlers(self._receiving, self.manager),
            Handler(
                operations.KEYS,
                keys.request,
                keys.repeat,
                self.manager.ahead.get("keys"),
                together=keys.request_all,
            ),
            Handler(operations.CHANNEL_ADD, channels.add),
            Handler(operations.CHANNEL_LIST, channels.list),
            Handler(operations.CHANNEL_SHOW, channels.show),
            Handler(operations.CHANNEL_REMOVE, channels.remove),
            Handler(operations.CHANNEL_SENDERS, channels.senders),
            Handler(operations.CHANNEL_OPEN, channels.open),
            Handler(operations.CHANNEL_FRESH_START, channels.fresh_start),
        )


def _evictions(shared: Shared) -> Evictions:
    return Evictions(
        views=shared.views,
        receptions=shared.receptions,
        on_notice=shared.on_notice,
        is_distributed=shared.is_distributed,
    )


def _certificates(
    shared: Shared, issuer: Issuer, registry: RegistryDesk, assignments: Assignments
) -> CertificateDesk:
    return CertificateDesk(
        issuer=issuer,
        ca_pem=shared.state.ca_pem,
        register=registry.register_certified,
        forget=shared.principals.forget,
        shut_out=assignments.shut_out,
    )


def _identifying(
    shared: Shared, issuer: Issuer, registry: RegistryDesk, certificates: CertificateDesk
) -> IdentifyingDesk:
    return IdentifyingDesk(
        issuer=issuer,
        find=registry.find,
        forget=shared.principals.forget,
        on_revoked=certificates.forget_crl,
    )
