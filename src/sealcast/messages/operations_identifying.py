"""Owns the table of operations on devices whose person is known."""

from sealcast.messages import identifying
from sealcast.messages.operation import Operation

DEVICE_IDENTIFY = Operation(
    "device-identify",
    "/v1/devices/identify",
    "operator",
    identifying.DeviceIdentifyRequest,
    identifying.IdentifiedList,
)
IDENTIFIED_LIST = Operation(
    "identified-list",
    "/v1/devices/identified",
    "operator",
    identifying.IdentifiedListRequest,
    identifying.IdentifiedList,
)

IDENTIFYING = (DEVICE_IDENTIFY, IDENTIFIED_LIST)
"""All of them."""
