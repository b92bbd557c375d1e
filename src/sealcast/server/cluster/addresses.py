"""Owns which of the operator's addresses are this server's own: where others relay to it."""

from urllib.parse import urlsplit

from sealcast.server.certificates import hosts_of
from sealcast.server.settings import KeyserverSettings
from sealcast.server.state import ServerState


def own_urls(state: ServerState, settings: KeyserverSettings) -> tuple[str, ...]:
    """Return those addresses that name our port and a host of our certificate; all, if none does.

    What parties are told are the addresses of all servers. Behind a gateway that maps ports none matches; a
    relay that then asks this server itself is answered once, and no more (`relaying`).
    """
    urls = settings.urls or state.urls
    hosts = set(hosts_of(state.certificate_path.read_bytes()))
    own = tuple(url for url in urls if _host_and_port(url) in {(host, settings.port) for host in hosts})
    return own or urls


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 443
