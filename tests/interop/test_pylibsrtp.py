"""libsrtp opens what we seal and we open what it seals: data and control, both suites, without MKI."""

import pylibsrtp
import pytest
from pylibsrtp._binding import ffi

from sealcast.core.channel import Suite
from sealcast.core.errors import AuthenticationError
from sealcast.core.secret import Secret
from sealcast.wire import rtcp, rtp, srtcp, srtp
from wire.single import seal_single

PROFILES = {
    Suite.AES_128_GCM: pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    Suite.AES_256_GCM: pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}
SSRC = 0x5EA1CA57
SALT = bytes(range(100, 112))
SEC_SERV_FIELD, SEC_SERV_AUTH, SEC_SERV_CONF_AND_AUTH = 5, 2, 3
"""`srtp_crypto_policy_t.sec_serv` of libsrtp 2, its sixth int: pylibsrtp does not name it."""

COMPOUND = rtcp.sender_report(SSRC, 1, 2, 3) + rtcp.source_description(SSRC, "sender")
SUITES = pytest.mark.parametrize("suite", [Suite.AES_128_GCM, Suite.AES_256_GCM])


def master_key(suite: Suite) -> bytes:
    """Return a master key of the suite's length."""
    return bytes(range(1, 1 + suite.key_bytes))


def peer(suite: Suite, *, inbound: bool, encrypt_control: bool = True) -> pylibsrtp.Session:
    """Return libsrtp with the key and salt that we use."""
    direction = pylibsrtp.Policy.SSRC_ANY_INBOUND if inbound else pylibsrtp.Policy.SSRC_ANY_OUTBOUND
    policy = pylibsrtp.Policy(key=master_key(suite) + SALT, ssrc_type=direction, srtp_profile=PROFILES[suite])
    if not encrypt_control:
        fields = ffi.cast("int *", ffi.addressof(policy._policy.rtcp))
        assert fields[SEC_SERV_FIELD] == SEC_SERV_CONF_AND_AUTH
        fields[SEC_SERV_FIELD] = SEC_SERV_AUTH
    return pylibsrtp.Session(policy)


def data_key(suite: Suite) -> srtp.StreamKey:
    """Return our key for the data."""
    return srtp.derive_rtp(Secret(master_key(suite)), Secret(SALT)).stream(SSRC)


def control_key(suite: Suite) -> srtp.SessionKey:
    """Return our key for control packets."""
    return srtp.derive_rtcp(Secret(master_key(suite)), Secret(SALT))


def packets_across_a_wrap() -> list[tuple[int, bytes, bytes]]:
    """Return index, header and payload of packets of all sizes whose SEQ wraps twice."""
    first = 65_000
    steps = [*range(1_000), *range(1_000, 70_000, 10_000), *range(70_000, 70_100)]
    made = []
    for step in steps:
        index = first + step
        header = rtp.pack_header(rtp.PAYLOAD_TYPE_MP2T, index % rtp.SEQ_MODULUS, 90 * step, SSRC)
        made.append((index, header, bytes([step % 256]) * (step % 1317)))
    return made


@SUITES
def test_libsrtp_opens_our_data(suite: Suite) -> None:
    """Every packet opens, over two wraps of SEQ, so key derivation, IV, ROC, AAD and tag agree."""
    ours, theirs = data_key(suite), peer(suite, inbound=True)
    for index, header, payload in packets_across_a_wrap():
        assert theirs.unprotect(seal_single(ours, header, payload, index)) == header + payload


@SUITES
def test_we_open_libsrtps_data(suite: Suite) -> None:
    """And the other way round; the packets are the same to the byte."""
    ours, theirs = data_key(suite), peer(suite, inbound=False)
    for index, header, payload in packets_across_a_wrap():
        sealed = theirs.protect(header + payload)
        assert srtp.open_packet(ours, sealed, len(header), index, mki_bytes=0) == payload
        assert sealed == seal_single(ours, header, payload, index)


@SUITES
@pytest.mark.parametrize("encrypted", [False, True], ids=["tagged", "encrypted"])
def test_libsrtp_opens_our_control(suite: Suite, encrypted: bool) -> None:  # noqa: FBT001 by name
    """Control packets open with and without encryption, at any rising index."""
    ours, theirs = control_key(suite), peer(suite, inbound=True)
    for index in (1, 2, 5, 1_000, 1 << 30):
        sealed = srtcp.seal_control(ours, COMPOUND, SSRC, index, encrypted=encrypted)
        assert theirs.unprotect_rtcp(sealed) == COMPOUND


@SUITES
@pytest.mark.parametrize("encrypted", [False, True], ids=["tagged", "encrypted"])
def test_we_open_libsrtps_control(suite: Suite, encrypted: bool) -> None:  # noqa: FBT001 by name
    """And the other way round; the packets are the same to the byte."""
    ours, theirs = control_key(suite), peer(suite, inbound=False, encrypt_control=encrypted)
    for index in range(1, 20):
        sealed = theirs.protect_rtcp(COMPOUND)
        packet = srtcp.split_control(sealed, mki_bytes=0)
        assert (packet.index, packet.ssrc) == (index, SSRC)
        assert bool(packet.word & srtcp.E_FLAG) is encrypted
        assert srtcp.open_control(ours, packet) == COMPOUND
        assert sealed == srtcp.seal_control(ours, COMPOUND, SSRC, index, encrypted=encrypted)


@SUITES
def test_both_refuse_a_changed_packet(suite: Suite) -> None:
    """One flipped bit, and neither opens what the other sealed."""
    header, payload = rtp.pack_header(33, 1, 2, SSRC), bytes(188)
    ours = bytearray(seal_single(data_key(suite), header, payload, 1))
    theirs = bytearray(peer(suite, inbound=False).protect(header + payload))
    ours[50] ^= 1
    theirs[50] ^= 1
    with pytest.raises(pylibsrtp.Error):
        peer(suite, inbound=True).unprotect(bytes(ours))
    with pytest.raises(AuthenticationError):
        srtp.open_packet(data_key(suite), bytes(theirs), len(header), 1, mki_bytes=0)
