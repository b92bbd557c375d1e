"""Owns the table of a cluster's operations: each server answers them for itself."""

from sealcast.messages import clusterstatus
from sealcast.messages.operation import Operation

CLUSTER_STATUS = Operation(
    "cluster-status",
    "/v1/cluster/status",
    "operator",
    clusterstatus.ClusterStatusRequest,
    clusterstatus.ClusterStatus,
    is_remembered=False,
)

CLUSTER = (CLUSTER_STATUS,)
"""All of them."""
