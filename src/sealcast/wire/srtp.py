"""Owns SRTP with AES-GCM (RFC 3711, RFC 7714): key derivation, and opening one packet.

```
RTP header 12.. ‖ ciphertext ‖ tag 16 ‖ MKI 8
└──── AAD ────┘
IV 12 = (00 00 ‖ SSRC 4 ‖ ROC 4 ‖ SEQ 2) XOR session salt

master key, master salt 12 ‖ 00 00 ──AES-CM, KDR 0──┬─ 0x00 RTP key     ┬─ 0x03 RTCP key
                                     (RFC 3711 §4.3) └─ 0x02 RTP salt    └─ 0x05 RTCP salt
```

Which index a packet has, and whether it was seen before, is the caller's to know.
"""

from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sealcast.core.channel import SALT_BYTES
from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.core.ids import KEY_ID_BYTES
from sealcast.core.secret import Secret
from sealcast.wire import rtp

TAG_BYTES = 16
OVERHEAD_BYTES = TAG_BYTES + KEY_ID_BYTES
"""What sealing adds behind the RTP packet."""

PACKET_OVERHEAD_BYTES = rtp.HEADER_BYTES + OVERHEAD_BYTES
"""What a packet with a plain header has beside its payload: no packet of ours is shorter."""

LABEL_RTP_KEY, LABEL_RTP_SALT = 0x00, 0x02
LABEL_RTCP_KEY, LABEL_RTCP_SALT = 0x03, 0x05

_LABEL_OFFSET = 7
"""The label stands above the 48-bit index, which is 0 at KDR 0, in the 14-byte salt (RFC 3711 §4.3.1)."""


@dataclass(frozen=True, slots=True)
class SessionKey:
    """A derived AEAD key with its 96-bit salt as a number, ready for the IV's XOR."""

    aead: AESGCM
    salt: int = field(repr=False)

    def stream(self, ssrc: int) -> "StreamKey":
        """Return the key as one SSRC uses it."""
        return StreamKey(self.aead, self.salt ^ ssrc << 48)


@dataclass(frozen=True, slots=True)
class StreamKey:
    """A session key for one SSRC: XOR `base` with the packet index and the IV is there."""

    aead: AESGCM
    base: int = field(repr=False)


def derive_rtp(master_key: Secret, master_salt: Secret) -> SessionKey:
    """Return the session key of SRTP packets (RFC 7714 §11)."""
    return _derive(master_key, master_salt, LABEL_RTP_KEY, LABEL_RTP_SALT)


def derive_rtcp(master_key: Secret, master_salt: Secret) -> SessionKey:
    """Return the session key of SRTCP packets."""
    return _derive(master_key, master_salt, LABEL_RTCP_KEY, LABEL_RTCP_SALT)


def open_packet(
    key: StreamKey, packet: bytes, header_bytes: int, index: int, mki_bytes: int = KEY_ID_BYTES
) -> bytes:
    """Return the payload; raises AuthenticationError, and gives nothing out, if the tag does not fit."""
    iv = (key.base ^ index).to_bytes(12, "big")
    end = len(packet) - mki_bytes
    if end < header_bytes + TAG_BYTES:
        raise FormatError("shorter than an SRTP packet")
    try:
        return key.aead.decrypt(iv, packet[header_bytes:end], packet[:header_bytes])
    except InvalidTag as error:
        raise AuthenticationError("an SRTP packet whose tag does not verify") from error


def _derive(master_key: Secret, master_salt: Secret, key_label: int, salt_label: int) -> SessionKey:
    session_key = _prf(master_key, master_salt, key_label, len(master_key))
    session_salt = _prf(master_key, master_salt, salt_label, SALT_BYTES)
    return SessionKey(AESGCM(session_key), int.from_bytes(session_salt, "big"))


def _prf(master_key: Secret, master_salt: Secret, label: int, length: int) -> bytes:
    """AES-CM as pseudo-random function, RFC 3711 §4.3.3; the salt is padded as RFC 7714 §11 says."""
    counter = bytearray(master_salt.reveal() + bytes(16 - SALT_BYTES))
    counter[_LABEL_OFFSET] ^= label
    encryptor = Cipher(algorithms.AES(master_key.reveal()), modes.CTR(bytes(counter))).encryptor()
    return encryptor.update(bytes(length))
