"""The HTTPS client through which senders, receivers and operators ask their key servers."""

from sealcast.client.choosing import Choice
from sealcast.client.keyserver import KeyServerClient, Use

__all__ = ["Choice", "KeyServerClient", "Use"]
