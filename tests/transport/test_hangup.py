"""Shows that a connection held by somebody else in this process can be ended, and no other."""

import socket

import pytest

from sealcast.transport.hangup import hang_up


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_the_right_connection_ends(family: socket.AddressFamily, host: str) -> None:
    """Of several connections to a port, the one from the named peer ends for both sides, the others go on."""
    with socket.create_server((host, 0), family=family) as server:
        port = server.getsockname()[1]
        pairs = []
        for _ in range(3):
            client = socket.create_connection((host, port), 5)
            pairs.append((client, server.accept()[0]))
        wanted, held = pairs[1]
        peer = wanted.getsockname()[:2]
        assert not hang_up(peer, port + 1)
        assert not hang_up((host, 1), port)
        assert hang_up(peer, port)
        assert (wanted.recv(10), held.recv(10)) == (b"", b"")
        for client, accepted in (pairs[0], pairs[2]):
            accepted.sendall(b"on")
            assert client.recv(10) == b"on"
        for pair in pairs:
            for each in pair:
                each.close()
        assert not hang_up(peer, port)
