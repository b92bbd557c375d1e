"""Owns a thief of chained keys: it hears the group, asks nobody, and tries all that it has on all it hears.

It keeps no rule of ours: it never checks a signature, looks at no fresh start, and forgets nothing.
"""

from collections import Counter
from contextlib import suppress
from itertools import product

from sealcast.core.errors import AuthenticationError
from sealcast.core.ids import KeyId
from sealcast.core.secret import Secret
from sealcast.core.update import Update
from sealcast.keys.chain import Link
from sealcast.keys.material import Tek
from sealcast.testing import PacketArrival
from sealcast.wire import rtp, srtcp, srtp
from sealcast.wire.rekey import parse_rekey
from sealcast.wire.seal import parse_seal
from simulation.studio import CONTROL, DATA
from simulation.world import World

ROCS = 3
"""A simulated stream ends before its fourth time round."""


class Thief:
    """Hears everything; `opened` and `heard` are the data packets by epoch."""

    def __init__(self, world: World, name: str = "thief") -> None:
        self.endpoint = world.network.endpoint(name)
        self.opened: Counter[int] = Counter()
        self.heard: Counter[int] = Counter()
        self.links: dict[KeyId, Link] = {}
        self.updates: list[Secret] = []
        self._teks: dict[KeyId, Tek] = {}
        self._kept: list[bytes] = []
        world.add(self)
        for group in (DATA, CONTROL):
            world.network.join(self.endpoint, group)

    def steal_link(self, tek: Tek) -> None:
        """Take the C of a key, and Ku if it is still there."""
        assert tek.origin is not None
        self._note(Link(tek.key_id, tek.suite, Secret(tek.origin.link.reveal())))
        if tek.origin.update:
            self.updates.append(Secret(tek.origin.update.reveal()))
        self._try_again()

    def steal_tek(self, tek: Tek) -> None:
        """Take the TEK alone, without its C."""
        self._teks[tek.key_id] = tek.copy()
        self._try_again()

    def take(self, packets: list[PacketArrival], now: int) -> None:
        """Hear what arrived."""
        del now
        for packet in packets:
            if packet.group == CONTROL:
                self._take_control(packet.data)
            else:
                self.heard[_key_id(packet.data).epoch] += 1
                if not self._opens(packet.data):
                    self._kept.append(packet.data)

    def wake(self, now: int) -> None:
        """Do nothing of its own."""

    def due_ns(self) -> int | None:
        """Want no turn."""
        return None

    def _note(self, link: Link) -> None:
        self.links[link.key_id] = link
        self._teks[link.key_id] = link.tek()

    def _take_control(self, packet: bytes) -> None:
        """Try every link on every update that the packet carries, and every Ku on the key that comes."""
        control = srtcp.split_control(packet)
        seal = parse_seal(control.clear_compound).seal
        coming = {seal.current} | ({seal.next.key_id} if seal.next else set())
        for message in seal.rekeys:
            rekey = parse_rekey(message)
            assert rekey is not None
            coming.add(rekey.key_id)
            for link in list(self.links.values()):
                self._unwrap(link, rekey)
        if coming - set(self._teks):
            self._guess(coming - set(self._teks))

    def _unwrap(self, link: Link, rekey: Update) -> None:
        try:
            update = link.unwrap(rekey.wrapped)
        except AuthenticationError:
            return
        if all(update != known for known in self.updates):
            self.updates.append(update)
        if rekey.key_id not in self.links:
            self._note(link.follow(update, rekey.key_id))

    def _guess(self, key_ids: set[KeyId]) -> None:
        """Keep each key that any C with any Ku gives under a key ID, if a packet of it opens with that."""
        kept = {key_id: [each for each in self._kept if _key_id(each) == key_id][:1] for key_id in key_ids}
        for link, update, key_id in product(list(self.links.values()), self.updates, key_ids):
            candidate = link.follow(update, key_id)
            for packet in kept[key_id]:
                if _opens(candidate.tek(), packet):
                    self._note(candidate)
        self._try_again()

    def _try_again(self) -> None:
        self._kept = [packet for packet in self._kept if not self._opens(packet)]

    def _opens(self, packet: bytes) -> bool:
        tek = self._teks.get(_key_id(packet))
        if tek is None or not _opens(tek, packet):
            return False
        self.opened[tek.key_id.epoch] += 1
        return True


def _key_id(packet: bytes) -> KeyId:
    return KeyId.unpack(packet[-8:])


def _opens(tek: Tek, packet: bytes) -> bool:
    """Whether a packet opens with a key, whatever the sender's ROC among the first."""
    ssrc, seq = int.from_bytes(packet[8:12], "big"), int.from_bytes(packet[2:4], "big")
    key = srtp.derive_rtp(tek.key, tek.salt).stream(ssrc)
    for roc in range(ROCS):
        with suppress(AuthenticationError):
            srtp.open_packet(key, packet, rtp.HEADER_BYTES, roc << 16 | seq)
            return True
    return False
