"""Owns OpenSSL's own measurement: what the cipher takes from C, without a header or a socket."""

import re
import subprocess

from sealcast.bench.processes import RUN_S_MAX
from sealcast.bench.stage import PAYLOAD_BYTES
from sealcast.core.errors import LocalError

SECONDS = 1
_RATE = re.compile(r"^\+F:\d+:[^:]*GCM:([0-9.]+)", re.MULTILINE | re.IGNORECASE)
"""Bytes per second, in the form for machines."""


def measure_us() -> float:
    """Return microseconds per packet of `openssl speed`; raises LocalError if it says nothing of use."""
    command = f"openssl speed -evp aes-128-gcm -bytes {PAYLOAD_BYTES} -seconds {SECONDS} -mr".split()
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S_MAX, check=False)  # noqa: S603 - fixed
    found = _RATE.search(done.stdout)
    if found is None:
        raise LocalError("openssl speed gives no figure")
    return PAYLOAD_BYTES / float(found[1]) * 1e6
