"""Owns the table of operations: name, path, who may call it, request and answer, and whether it is sealed.

`POST /v1/<path>` with a JWS body; the answer is a JWE holding the server's JWS where `sealed`, else JSON.
"""

from sealcast.messages import answers, auditing, enrolment, requests, subscribing
from sealcast.messages.operation import Operation
from sealcast.messages.operations_billing import BILLING
from sealcast.messages.operations_cluster import CLUSTER
from sealcast.messages.operations_identifying import IDENTIFYING

KEYS = Operation(
    "keys",
    "/v1/keys",
    "device",
    requests.KeyRequest,
    answers.Grant,
    sealed=True,
    is_remembered=False,
)
LEASE = Operation("lease", "/v1/lease", "sender", requests.LeaseRequest, answers.LeaseAnswer, sealed=True)
PUBLISH = Operation("publish", "/v1/publish", "sender", requests.PublishRequest, answers.Done)
GENERATE = Operation(
    "generate", "/v1/generate", "sender", requests.GenerateRequest, answers.GeneratedKey, sealed=True
)
ON_AIR = Operation("on-air", "/v1/on-air", "sender", requests.AirRequest, answers.AirAnswer)
SHARE = Operation(
    "share",
    "/v1/share",
    "sender",
    requests.ShareRequest,
    answers.Shared,
    sealed=True,
    is_remembered=False,
)
CHANNEL_ADD = Operation(
    "channel-add", "/v1/channels/add", "operator", requests.ChannelAddRequest, answers.ChannelList
)
CHANNEL_LIST = Operation(
    "channel-list", "/v1/channels/list", "operator", requests.ListRequest, answers.ChannelList
)
CHANNEL_SHOW = Operation(
    "channel-show", "/v1/channels/show", "operator", requests.ChannelNameRequest, answers.ChannelList
)
CHANNEL_REMOVE = Operation(
    "channel-remove", "/v1/channels/remove", "operator", requests.ChannelNameRequest, answers.Done
)
CHANNEL_SENDERS = Operation(
    "channel-senders", "/v1/channels/senders", "operator", requests.ChannelSendersRequest, answers.ChannelList
)
REGISTRY_ADD = Operation(
    "registry-add", "/v1/registry/add", "operator", requests.RegistryAddRequest, answers.Done
)
REGISTRY_REMOVE = Operation(
    "registry-remove", "/v1/registry/remove", "operator", requests.RegistryRemoveRequest, answers.Done
)
INVITE = Operation(
    "invite", "/v1/invitations/add", "operator", enrolment.InviteRequest, enrolment.InvitationList
)
INVITATION_LIST = Operation(
    "invitation-list", "/v1/invitations/list", "operator", requests.ListRequest, enrolment.InvitationList
)
INVITATION_CANCEL = Operation(
    "invitation-cancel",
    "/v1/invitations/cancel",
    "operator",
    enrolment.InvitationCancelRequest,
    answers.Done,
)
ENROL = Operation("enrol", "/v1/enrol", "newcomer", enrolment.EnrolRequest, enrolment.Enrolled, sealed=True)
CERTIFICATE_ISSUE = Operation(
    "certificate-issue",
    "/v1/certificates/issue",
    "operator",
    enrolment.CertificateIssueRequest,
    enrolment.CertificateAnswer,
)
CERTIFICATE_RENEW = Operation(
    "certificate-renew",
    "/v1/certificates/renew",
    "certified",
    enrolment.CertificateRenewRequest,
    enrolment.CertificateAnswer,
)
CERTIFICATE_LIST = Operation(
    "certificate-list",
    "/v1/certificates/list",
    "operator",
    requests.ListRequest,
    enrolment.CertificateList,
)
CERTIFICATE_REVOKE = Operation(
    "certificate-revoke",
    "/v1/certificates/revoke",
    "operator",
    enrolment.CertificateRevokeRequest,
    enrolment.CertificateList,
)
REGISTRY_LIST = Operation(
    "registry-list", "/v1/registry/list", "operator", requests.ListRequest, answers.RegistryList
)
SUBSCRIBER_ADD = Operation(
    "subscriber-add", "/v1/subscribers/add", "operator", requests.SubscriberRequest, answers.Done
)
SUBSCRIBER_REMOVE = Operation(
    "subscriber-remove",
    "/v1/subscribers/remove",
    "operator",
    subscribing.SubscriberRemoveRequest,
    subscribing.Removed,
)
SUBSCRIBER_LIST = Operation(
    "subscriber-list",
    "/v1/subscribers/list",
    "operator",
    requests.SubscriberListRequest,
    answers.SubscriberList,
)

CHANNEL_OPEN = Operation(
    "channel-open", "/v1/channels/open", "operator", subscribing.ChannelOpenRequest, answers.ChannelList
)
CHANNEL_FRESH_START = Operation(
    "channel-fresh-start",
    "/v1/channels/fresh-start",
    "operator",
    requests.FreshStartRequest,
    answers.FreshStart,
)
SOLD_ADD = Operation(
    "sold-add", "/v1/sold/add", "operator", subscribing.SoldAddRequest, subscribing.SoldAdded
)
SOLD_LIST = Operation(
    "sold-list", "/v1/sold/list", "operator", subscribing.SoldListRequest, subscribing.SoldList
)
SOLD_REMOVE = Operation(
    "sold-remove", "/v1/sold/remove", "operator", subscribing.SoldRemoveRequest, answers.Done
)
SUBSCRIBE = Operation(
    "subscribe", "/v1/subscribe", "device", subscribing.SubscribeRequest, subscribing.Subscribed
)
OFFENDER_LIST = Operation(
    "offender-list", "/v1/offenders/list", "operator", requests.ListRequest, subscribing.OffenderList
)
OFFENDER_PARDON = Operation(
    "offender-pardon", "/v1/offenders/pardon", "operator", subscribing.OffenderPardonRequest, answers.Done
)
AUDIT_LIST = Operation(
    "audit-list",
    "/v1/audit/list",
    "operator",
    auditing.AuditListRequest,
    auditing.AuditList,
    is_remembered=False,
)
WITHDRAWAL = Operation(
    "withdrawal", "/v1/withdrawal", "device", subscribing.WithdrawalRequest, subscribing.WithdrawalBegun
)
WITHDRAW = Operation("withdraw", "/v1/withdraw", "device", subscribing.WithdrawRequest, subscribing.Withdrawn)
HEARTBEAT = Operation(
    "heartbeat",
    "/v1/heartbeat",
    "device",
    subscribing.HeartbeatRequest,
    subscribing.HeartbeatAnswer,
    is_remembered=False,
)
STOP = Operation("stop", "/v1/stop", "device", subscribing.StopRequest, subscribing.Stopped)
RECEPTION_LIST = Operation(
    "reception-list",
    "/v1/receptions/list",
    "operator-or-server",
    subscribing.ReceptionListRequest,
    subscribing.ReceptionList,
    is_remembered=False,
)
RECEPTION_PERMIT = Operation(
    "reception-permit",
    "/v1/receptions/permit",
    "server",
    subscribing.PermitRequest,
    subscribing.Permit,
    is_remembered=False,
)
RECEPTION_SEEN = Operation(
    "reception-seen",
    "/v1/receptions/seen",
    "server",
    subscribing.SeenRequest,
    answers.Done,
    is_remembered=False,
)
RECEPTION_END = Operation(
    "reception-end",
    "/v1/receptions/end",
    "server",
    subscribing.EndRequest,
    subscribing.EndAnswer,
    is_remembered=False,
)
EVENTS = Operation(
    "events",
    "/v1/events",
    "device-or-sender",
    subscribing.EventsRequest,
    subscribing.Event,
    is_remembered=False,
)
"""On a listener of its own: the answer is a stream of server-sent events, each an `Event` in JSON."""

RECEPTION_MANAGER = (RECEPTION_PERMIT, RECEPTION_SEEN, RECEPTION_END, RECEPTION_LIST)
"""What a reception manager answers that stands apart."""

ALL = (
    KEYS,
    LEASE,
    PUBLISH,
    GENERATE,
    ON_AIR,
    SHARE,
    CHANNEL_ADD,
    CHANNEL_LIST,
    CHANNEL_SHOW,
    CHANNEL_REMOVE,
    CHANNEL_SENDERS,
    REGISTRY_ADD,
    REGISTRY_REMOVE,
    REGISTRY_LIST,
    INVITE,
    INVITATION_LIST,
    INVITATION_CANCEL,
    ENROL,
    CERTIFICATE_ISSUE,
    CERTIFICATE_RENEW,
    CERTIFICATE_LIST,
    CERTIFICATE_REVOKE,
    SUBSCRIBER_ADD,
    SUBSCRIBER_REMOVE,
    SUBSCRIBER_LIST,
    HEARTBEAT,
    STOP,
    RECEPTION_LIST,
    CHANNEL_OPEN,
    CHANNEL_FRESH_START,
    SOLD_ADD,
    SOLD_LIST,
    SOLD_REMOVE,
    SUBSCRIBE,
    OFFENDER_LIST,
    OFFENDER_PARDON,
    AUDIT_LIST,
    WITHDRAWAL,
    WITHDRAW,
    *BILLING,
    *CLUSTER,
    *IDENTIFYING,
)
