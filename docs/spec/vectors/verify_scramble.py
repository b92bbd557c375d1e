"""Verifies scramble.json for verify.py: written from scramble.md, bits as characters, no line of Sealcast."""

# ruff: noqa: INP001 - beside a program, not in a package

import hmac
from typing import Any

Json = dict[str, Any]


def verify_scramble(content: Json) -> int:
    """Verify figures and packets; return how many. Raises ValueError or KeyError where one does not fit."""
    for each in content["figures"]:
        patterns = {("a", 0): each["pattern"]}
        if _scramble(each["data"], _cycle(each["rule"], patterns, 0), 0) != each["scrambled"]:
            raise ValueError(f"figure {each['name']}")
    for each in content["packets"]:
        if _packet(each) != each["packet"]:
            raise ValueError(f"packet {each['name']}")
    for each in content["derived"]:
        if _derived(each) != each["bytes"]:
            raise ValueError(f"derived pattern {each['number']} of {each['bits']} bits")
    return sum(len(content[kind]) for kind in ("figures", "packets", "derived"))


def _derived(each: Json) -> str:
    """Return the pattern that follows from a TEK, in hexadecimal: HKDF of RFC 5869 with SHA-256."""
    key = hmac.digest(bytes.fromhex(each["salt"]), bytes.fromhex(each["key"]), "sha256")
    info = b"sealcast pattern 1" + bytes.fromhex(each["key_id"]) + each["source"].encode()
    info += each["number"].to_bytes(4, "big")
    made = block = b""
    for counter in range(1, 1 + -(-each["bits"] // 256)):
        block = hmac.digest(key, block + info + bytes([counter]), "sha256")
        made += block
    size, spare = (each["bits"] + 7) // 8, -each["bits"] % 8
    value = int.from_bytes(made[:size], "big") >> spare
    if value in {0, (1 << each["bits"]) - 1}:
        value ^= 1
    return (value << spare).to_bytes(size, "big").hex()


def _packet(each: Json) -> str:
    """Return the packet that an entry describes, in hexadecimal."""
    patterns = {
        (part["source"], part["number"]): _bits(bytes.fromhex(part["bytes"]))[: part["bits"]]
        for part in each["components"]
    }
    rule, _, step = each["rule"].partition("@")
    cycle = _cycle(rule, patterns, each["number"])
    if len(cycle) != each["cycle_bits"]:
        raise ValueError(f"the cycle of {each['name']} has {len(cycle)} bits")
    bits = _scramble(_bits(bytes.fromhex(each["payload"])), cycle, each["seq"] * int(step or 0))
    header = f"8021{each['seq']:04x}{each['timestamp']:08x}{each['ssrc']}"
    payload = "".join(f"{int(bits[at : at + 8], 2):02x}" for at in range(0, len(bits), 8))
    return f"{header}{payload}{each['number']:08x}{each['key_id']}"


def _cycle(rule: str, patterns: dict[tuple[str, int], str], number: int) -> str:
    """Return the turns of a rule, one behind the other, as characters 0 and 1."""
    cycle = ""
    for turn in rule.split(","):
        terms = [(term.startswith("~"), term.lstrip("~")) for term in turn.split("+")]
        taken = [(inverted, patterns[name[0], number - int(name[1:] or 0)]) for inverted, name in terms]
        for place in range(max(len(pattern) for _, pattern in taken)):
            cycle += str(
                sum(inverted + int(pattern[place % len(pattern)]) for inverted, pattern in taken) % 2
            )
    return cycle


def _scramble(data: str, cycle: str, start: int) -> str:
    """Return data XOR the cycle from `start` on, round and round."""
    return "".join(str(int(bit) ^ int(cycle[(start + place) % len(cycle)])) for place, bit in enumerate(data))


def _bits(data: bytes) -> str:
    return "".join(f"{byte:08b}" for byte in data)
