"""Owns UFTP as a peer: server and client in a network namespace of their own, both counted."""

from pathlib import Path

from sealcast.bench.processes import cpu_seconds
from sealcast.bench.stage import PAYLOAD_BYTES

BLOCK_BYTES = PAYLOAD_BYTES
GROUPS = ("239.255.83.68", "239.255.83.69")
PORT = 5088
BUFFER_BYTES = 4 << 20

SCRIPT = """
ip link set lo up multicast on && ip route add 224.0.0.0/4 dev lo || exit 1
uftpd -d -I 127.0.0.1 -M {public} -p {port} -D {folder} -B {buffer} & client=$!
uftp -Y aes128-gcm -h sha256 -b {block} -I 127.0.0.1 -M {public} -P {private} -p {port} \\
    -R -1 -B {buffer} {path}
status=$?
kill $client; wait $client
test -s {folder}/{name} && exit $status
exit 1
"""
"""Its client does not join on loopback as it is; so loopback of a namespace, which ends with the script."""


def transfer(packets: int, folder: Path) -> float:
    """Have a file of so many packets transferred to one client; return CPU seconds of both ends."""
    path = folder / f"{packets}.bin"
    path.write_bytes(bytes(packets * PAYLOAD_BYTES))
    into = folder / "uftp"
    into.mkdir(exist_ok=True)
    script = SCRIPT.format(
        public=GROUPS[0],
        private=GROUPS[1],
        port=PORT,
        folder=into,
        buffer=BUFFER_BYTES,
        block=BLOCK_BYTES,
        path=path,
        name=path.name,
    )
    return cpu_seconds(["unshare", "--user", "--map-root-user", "--net", "sh", "-c", script])
