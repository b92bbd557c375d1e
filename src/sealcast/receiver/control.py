"""Owns the judgement of control packets: a hint before the first grant, a fact once verified."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sealcast.core.errors import AuthenticationError, FormatError, ReplayError
from sealcast.core.ids import KeyId
from sealcast.receiver.keyring import KeyRing
from sealcast.wire import srtcp
from sealcast.wire.seal import Seal, UnverifiedSeal, parse_seal, verify_seal

SENDERS_MAX = 16
"""Registered senders of one channel; each may cost a signature check."""


@dataclass(frozen=True, slots=True)
class Hint:
    """What an unverified SEAL packet says: where to ask, nothing more."""

    key_id: KeyId
    key_servers: tuple[str, ...]


class ControlJudge:
    """Verifies SEAL packets against the keys held and the senders registered."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring
        self._senders: list[Ed25519PublicKey] = []

    def set_senders(self, keys: list[bytes]) -> None:
        """Take the registered senders' Ed25519 keys from a grant; raises FormatError."""
        try:
            self._senders = [Ed25519PublicKey.from_public_bytes(key) for key in keys[:SENDERS_MAX]]
        except ValueError as error:
            raise FormatError("a sender's key that is not an Ed25519 key") from error

    def key_of(self, packet: bytes) -> KeyId:
        """Return the key ID that a control packet names, not yet believed; raises FormatError."""
        return KeyId.unpack(srtcp.split_control(packet).mki)

    def hint(self, packet: bytes) -> Hint:
        """Read a packet that cannot be verified yet; raises FormatError."""
        seal = parse_seal(srtcp.split_control(packet).clear_compound).seal
        return Hint(seal.current, seal.key_servers)

    def verify(self, packet: bytes, last_index: int) -> Seal:
        """Return what a SEAL packet says, its index above `last_index`.

        Raises FormatError, ReplayError (its index does not rise) or AuthenticationError (tag, signature,
        or a key that is not held). Cheap checks come first: the index, the tag, then the signature.
        """
        control = srtcp.split_control(packet)
        held = self._ring.find(control.mki)
        if held is None:
            raise AuthenticationError("a control packet under a key that is not held")
        if control.index <= last_index:
            raise ReplayError("a control packet whose index does not rise")
        if control.word & srtcp.E_FLAG:
            # The signature covers the index, not this bit: a subscriber could seal another's packet anew.
            raise FormatError("an encrypted control packet")
        unverified = parse_seal(srtcp.open_control(held.rtcp, control))
        if unverified.seal.current != held.key_id or unverified.seal.ssrc != control.ssrc:
            raise FormatError("a SEAL packet that contradicts itself")
        return self._verify_signature(unverified, srtcp.index_word(control.index))

    def ssrc_of(self, packet: bytes) -> int:
        """Return the SSRC that a control packet names, not yet believed."""
        return srtcp.split_control(packet).ssrc

    def _verify_signature(self, unverified: UnverifiedSeal, word: bytes) -> Seal:
        for sender in self._senders:
            try:
                return verify_seal(unverified, sender, word)
            except AuthenticationError:
                continue
        raise AuthenticationError("a SEAL packet that no registered sender signed")
