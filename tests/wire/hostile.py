"""Owns one valid packet of each kind with its keys, and how each is read, for tests with damaged ones."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.core.secret import Secret
from sealcast.wire import rtp, srtcp, srtp
from sealcast.wire import seal as seal_packet
from wire.single import seal_single

MASTER = Secret(bytes(16)), Secret(bytes(12))
DATA_KEY = srtp.derive_rtp(*MASTER).stream(1)
CONTROL_KEY = srtp.derive_rtcp(*MASTER)
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(32))
MKI = KeyId(ChannelNumber(1), Epoch(2))
WORD = srtcp.index_word(9)

RTP = seal_single(DATA_KEY, rtp.pack_header(33, 7, 8, 1), bytes(188), 7, MKI.pack())
COMPOUND = seal_packet.build_seal(
    seal_packet.Seal(
        ssrc=1,
        current=MKI,
        remaining_ms=1,
        lifetime_ms=2,
        roc=3,
        seq=4,
        next=seal_packet.NextKey(MKI, 5),
        window=seal_packet.SealWindow(6, 7),
        key_servers=("https://a", "https://b"),
        rekeys=(b"rekey",),
        bye=True,
    ),
    seal_packet.SenderCounts(1, 2, 3),
    "sender",
    WORD,
    SIGNER.sign,
)
CONTROL = srtcp.seal_control(CONTROL_KEY, COMPOUND, 1, 9, MKI.pack())


def read_data(packet: bytes) -> None:
    """Take the way of a received data packet."""
    srtp.open_packet(DATA_KEY, packet, rtp.parse_header(packet).length_bytes, 7)


def read_control(packet: bytes) -> None:
    """Take the way of a received control packet."""
    control = srtcp.split_control(packet)
    KeyId.unpack(control.mki)
    srtcp.open_control(CONTROL_KEY, control)


def read_hint(packet: bytes) -> None:
    """Take the way of a control packet whose key we have not."""
    seal_packet.parse_seal(srtcp.split_control(packet).clear_compound)


def read_seal(compound: bytes) -> None:
    """Take the way of a verified compound."""
    seal_packet.verify_seal(seal_packet.parse_seal(compound), SIGNER.public_key(), WORD)
