"""Shows that the system's authorities have no part in what a client trusts."""

import subprocess
import sys

LOOK = """
import ssl
read = []
ssl.SSLContext.load_default_certs = lambda *_: read.append("default")
import sealcast.client.keyserver
import sealcast.client.forwarding
assert not read, "the system's list was read"
from aiohttp import connector
assert connector._SSL_CONTEXT_VERIFIED.verify_mode is ssl.CERT_REQUIRED
assert not connector._SSL_CONTEXT_VERIFIED.get_ca_certs()
ssl.create_default_context()
assert read, "for all others it stays as it is"
"""


def test_the_systems_list_is_not_read() -> None:
    """It is neither read as a command starts, nor is a session without a context of ours let off a check."""
    subprocess.run([sys.executable, "-c", LOOK], check=True, timeout=60)
