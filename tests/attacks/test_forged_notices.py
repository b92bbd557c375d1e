"""Control packets that are not the sender's word, by strangers and by subscribers who hold the key."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from attacks import digest
from attacks.pair import Pair, fates, flip, rose
from sealcast.core.ids import Epoch, KeyId
from sealcast.wire import srtcp
from sealcast.wire.seal import NextKey, SealWindow
from simulation.parts import CHANNEL, SECOND, SIGNER

FAR = KeyId(CHANNEL, Epoch(99))

FORGERIES: dict[str, Callable[[Pair], bytes]] = {
    "replayed": lambda pair: pair.first_seal,
    "tag changed": lambda pair: flip(pair.next_seal(), -160),
    "signed by a stranger": lambda pair: pair.changed(),
    "a switch at once": lambda pair: pair.changed(lambda s: replace(s, remaining_ms=0, extended=True)),
    "a switch to another key": lambda pair: pair.changed(lambda s: replace(s, current=FAR)),
    "a next key": lambda pair: pair.changed(lambda s: replace(s, next=NextKey(FAR, 10))),
    "a fetch window": lambda pair: pair.changed(
        lambda s: replace(s, next=NextKey(FAR, 10), window=SealWindow(0, 0))
    ),
    "a key server": lambda pair: pair.changed(lambda s: replace(s, key_servers=("https://evil.example",))),
    "BYE": lambda pair: pair.changed(lambda s: replace(s, bye=True)),
    "ROC": lambda pair: pair.changed(lambda s: replace(s, roc=9)),
    "another SSRC's": lambda pair: pair.changed(lambda s: replace(s, ssrc=1), signer=SIGNER),
    "cut short": lambda pair: pair.next_seal()[30:],
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
def test_forged_notice(forge: Callable[[Pair], bytes]) -> None:
    """A SEAL packet that is replayed, changed or not the sender's is counted and leaves all as it was."""
    pair = Pair()
    packet = forge(pair)
    before, counted = digest.whole(pair.receiver), fates(pair.receiver)
    pair.receiver.handle_control(packet, SECOND)
    assert digest.whole(pair.receiver) == before
    assert rose(counted, pair.receiver) == {"control_refused": 1}


def test_a_good_control_packet_is_taken_after_all_that() -> None:
    """The forgeries do not shut out the sender's own packet of the same index."""
    pair = Pair()
    forged = pair.changed(lambda seal: replace(seal, roc=9))
    genuine_index = srtcp.split_control(forged).index
    pair.receiver.handle_control(forged, SECOND)
    later = pair.next_seal(2 * SECOND)
    assert srtcp.split_control(later).index == genuine_index + 1
    pair.receiver.handle_control(later, 2 * SECOND)
    assert pair.receiver.stats.control == 2


def test_a_senders_word_sealed_again_by_a_subscriber() -> None:
    """A subscriber can take off the tag and seal anew: under another index or key the signature fails."""
    pair = Pair()
    following = pair.publish_next()
    genuine = srtcp.split_control(pair.next_seal(6 * SECOND))
    before, counted = digest.whole(pair.receiver), fates(pair.receiver)
    for tek, index in ((pair.tek, genuine.index + 1), (following, genuine.index), (following, 2**31 - 1)):
        key = pair.keys_of(tek)
        packet = srtcp.seal_control(key, genuine.clear_compound, genuine.ssrc, index, tek.key_id.pack())
        pair.receiver.handle_control(packet, 6 * SECOND)
    encrypted = srtcp.seal_control(
        pair.keys_of(pair.tek),
        genuine.clear_compound,
        genuine.ssrc,
        genuine.index,
        genuine.mki,
        encrypted=True,
    )
    pair.receiver.handle_control(encrypted, 6 * SECOND)
    assert digest.whole(pair.receiver) == before
    assert rose(counted, pair.receiver) == {"control_refused": 4}
