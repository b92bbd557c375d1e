"""Owns how aiohttp is imported: without the system's list of authorities, of which none is trusted here.

aiohttp reads that list as it is imported, for sessions that are given no context: 0.05 to 0.15 s of every
command. No session here goes without the context of `transfer.trust`; one that did would find no authority,
and refuse every server.
"""

import ssl
from unittest.mock import patch

with patch.object(ssl.SSLContext, "load_default_certs"):
    import aiohttp
    from aiohttp.connector import Connection

__all__ = ["Connection", "aiohttp"]
