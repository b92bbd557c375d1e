"""Owns what the tests of the transport stand on: loopback, portable mode and a network of one's own."""

import socket
from collections.abc import Iterator

import pytest

from sealcast.transport.interfaces import Interface, choose_interface
from sealcast.transport.linux import MODE_VARIABLE, PORTABLE
from transport.namespaces import Namespace, enter_namespace


@pytest.fixture
def loopback() -> Interface:
    """Return the loopback interface, which counts because it is asked for."""
    return choose_interface("239.1.2.3", "lo").interface


@pytest.fixture
def portable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch all that only Linux has off."""
    monkeypatch.setenv(MODE_VARIABLE, PORTABLE)


@pytest.fixture
def free_port() -> int:
    """Return a UDP port that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """Put the test into an empty network namespace of its own."""
    with enter_namespace() as here:
        yield here
