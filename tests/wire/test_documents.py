"""What docs/spec/wire.md shows is what the code makes."""

from typing import Any

import pytest

from sealcast.core.channel import Suite
from sealcast.core.secret import Secret
from sealcast.wire import rtp, seal, srtcp, srtp
from wire import oracle
from wire.single import seal_single

PAGE = (oracle.VECTORS.parent / "wire.md").read_text()
EXAMPLES = oracle.load_vectors("sealcast.json")["packets"]
COMPOUND = bytes.fromhex("".join(oracle.load_vectors("seal.json")["compound"]))


def test_the_page_shows_the_vectors() -> None:
    """Every byte of the two examples stands on the page, in order."""
    shown = "".join(PAGE[PAGE.index("## Example") :].split())
    for line in oracle.load_vectors("seal.json")["compound"]:
        assert "".join(line.split()) in shown
    data = EXAMPLES[0]["data"]
    for part in (data[:24], data[24:88], data[88:120], data[120:]):
        assert part in shown


def test_the_page_lists_every_entry() -> None:
    """Each type of entry that the code knows has its row."""
    for name, value in vars(seal).items():
        if name.startswith("T_") and isinstance(value, int):
            assert f"| {value} | {name.removeprefix('T_')} |" in PAGE


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["suite"])
def test_example_packets(example: dict[str, Any]) -> None:
    """From master key to packet, both ports: sealed as the example says, and opened again."""
    master = Secret(bytes.fromhex(example["master_key"])), Secret(bytes.fromhex(example["master_salt"]))
    assert len(master[0]) == Suite(example["suite"]).key_bytes
    mki = bytes.fromhex(example["mki"])
    header, payload = bytes.fromhex(example["header"]), bytes.fromhex(example["payload"])
    parsed = rtp.parse_header(header)
    index = example["roc"] * rtp.SEQ_MODULUS + parsed.seq
    key = srtp.derive_rtp(*master).stream(parsed.ssrc)
    assert (key.base ^ index).to_bytes(12, "big").hex() == example["data_iv"]
    assert seal_single(key, header, payload, index, mki).hex() == example["data"]
    assert srtp.open_packet(key, bytes.fromhex(example["data"]), len(header), index) == payload
    control_key = srtp.derive_rtcp(*master)
    control = srtcp.seal_control(control_key, COMPOUND, parsed.ssrc, example["control_index"], mki)
    assert control.hex() == example["control"]
    assert srtcp.open_control(control_key, srtcp.split_control(control)) == COMPOUND


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["suite"])
def test_example_session_keys(example: dict[str, Any]) -> None:
    """The session keys and salts that the example names come from its master key."""
    key, salt = bytes.fromhex(example["master_key"]), bytes.fromhex(example["master_salt"])
    for label, name in ((0, "rtp"), (3, "rtcp")):
        session_key, session_salt = oracle.session(key, salt, label)
        assert (session_key.hex(), session_salt.hex()) == (example[f"{name}_key"], example[f"{name}_salt"])
    assert srtp.derive_rtp(Secret(key), Secret(salt)).salt == int(example["rtp_salt"], 16)
