"""The HTTPS client through which senders, receivers and operators ask their key servers."""

from sealcast.client.keyserver import KeyServerClient

__all__ = ["KeyServerClient"]
