"""Makes docs/spec/vectors/scramble.json: S1's figures, and a scrambled packet for each kind of rule."""

# ruff: noqa: INP001 - beside a program, not in a package

from typing import Any

from sealcast.core.channel import Suite
from sealcast.core.ids import KeyId
from sealcast.core.secret import Secret
from sealcast.keys.material import Tek
from sealcast.keys.patterns import derive_pattern_bits
from sealcast.testing import SimRandom
from sealcast.wire.cycles import Cycle, PatternBook
from sealcast.wire.patterns import Component, Pattern, Rule
from sealcast.wire.scramble import Scrambler, pack_trailer, scramble_payload

Content = dict[str, Any]

SSRC, TIMESTAMP, SEQ, NUMBER = 0x5EA1CA57, 90_000, 65_530, 9
KEY_ID = bytes.fromhex("0000000700000003")
PAYLOAD = bytes.fromhex("471fff10") + b"\xff" * 28 + bytes(range(120))
RULES = {
    "news, 32 bits": ("a", {"a": 32}),
    "film, 128 bits": ("a", {"a": 128}),
    "data, 512 bits": ("a", {"a": 512}),
    "an odd length": ("a", {"a": 37}),
    "an inverted pair": ("a,~a", {"a": 32}),
    "two sources in turn": ("a,b", {"a": 32, "b": 52}),
    "two sources at once": ("a+b", {"a": 128, "b": 32}),
    "two times": ("a+a1", {"a": 128}),
    "all of it, with a step": ("a+b1,~a,~b+c7@13", {"a": 33, "b": 128, "c": 4}),
}


def scramble_vectors(_: object) -> Content:
    """Return the figures, in bits, and packets."""
    return {
        "source": "The figures are those of the document that has the method; the packets are Sealcast's own:"
        " docs/spec/scramble.md. `bytes` are a pattern's bits from the top, then zeros.",
        "figures": [
            _figure("25 and 26: scrambling", "a", "10011010"),
            _figure("27 and 28: descrambling", "a", "01000111"),
            _figure("31: scrambling with the inverted pair", "a,~a", "1001101010011010"),
            _figure("32: descrambling with the inverted pair", "a,~a", "0100100001001000"),
        ],
        "packets": [_packet(name, rule, bits) for name, (rule, bits) in RULES.items()],
        "derived": [_derived(number, bits) for number, bits in ((0, 128), (1, 128), (7, 37), (7, 512))],
    }


def _derived(number: int, bits: int) -> Content:
    """Return a pattern of source a that follows from a TEK."""
    key, salt = Secret(bytes(range(16))), Secret(bytes(range(16, 28)))
    tek = Tek(KeyId.unpack(KEY_ID), Suite.SCRAMBLE, key, salt)
    return {
        "key": key.reveal().hex(),
        "salt": salt.reveal().hex(),
        "key_id": KEY_ID.hex(),
        "source": "a",
        "number": number,
        "bits": bits,
        "bytes": derive_pattern_bits(tek, "a", number, bits).reveal().hex(),
    }


def _figure(name: str, rule: str, data: str) -> Content:
    book = PatternBook(Rule.parse(rule), [Component("a", NUMBER, Pattern(4, Secret(b"\xd0")))])
    size = len(data) // 8
    scrambled = int.from_bytes(scramble_payload(_cycle(book), int(data, 2).to_bytes(size)))
    return {
        "name": name,
        "rule": rule,
        "pattern": "1101",
        "data": data,
        "scrambled": f"{scrambled:0{len(data)}b}",
    }


def _cycle(book: PatternBook) -> Cycle:
    cycle = book.cycle(NUMBER)
    if cycle is None:
        raise ValueError("a pattern is missing")
    return cycle


def _packet(name: str, text: str, bits: dict[str, int]) -> Content:
    rule, random = Rule.parse(text), SimRandom(f"vectors/scramble/{name}")
    names = sorted({(term.source, NUMBER - term.back) for term in rule.terms})
    components = [Component(source, number, Pattern.draw(random, bits[source])) for source, number in names]
    cycle = _cycle(PatternBook(rule, components))
    trailer = pack_trailer(NUMBER, KEY_ID)
    (packet,) = Scrambler(SSRC).scramble(cycle, trailer, SEQ, [PAYLOAD], [TIMESTAMP], second=33)
    return {
        "name": name,
        "rule": text,
        "components": [
            {
                "source": each.source,
                "number": each.number,
                "bits": each.pattern.bits,
                "bytes": each.pattern.secret.reveal().hex(),
            }
            for each in components
        ],
        "cycle_bits": cycle.bits,
        "ssrc": f"{SSRC:08x}",
        "seq": SEQ,
        "timestamp": TIMESTAMP,
        "number": NUMBER,
        "key_id": KEY_ID.hex(),
        "payload": PAYLOAD.hex(),
        "packet": bytes(packet).hex(),
    }
