"""Owns looking for a secret in a process's memory and in files, in every form that programs have it in."""

import binascii
from base64 import b64encode, urlsafe_b64encode
from pathlib import Path

DIGIT_BITS = 30
"""Python keeps integers in digits of 30 bits, each in 32 (PEP 237; longintrepr.h)."""

PIECE_BYTES = 24
"""From the middle of a form: a secret there in part is found too; nothing else has it by chance."""

WINDOW_BYTES = 1 << 24


def forms(secret: bytes) -> dict[str, bytes]:
    """Return a piece of each form of a secret of 32 bytes or more: bytes, limbs, digits, texts."""
    number = int.from_bytes(secret, "big")
    digits = b"".join(
        (number >> shift & (1 << DIGIT_BITS) - 1).to_bytes(4, "little")
        for shift in range(0, number.bit_length(), DIGIT_BITS)
    )
    whole = {
        "bytes": secret,
        "limbs": secret[::-1],
        "digits": digits,
        "base64": b64encode(secret),
        "base64url": urlsafe_b64encode(secret),
        "hex": binascii.hexlify(secret),
        "HEX": binascii.hexlify(secret).upper(),
        "decimal": str(number).encode() if len(secret) < 100 else binascii.hexlify(secret[::-1]),
    }
    return {name: _middle(form) for name, form in whole.items()}


def found_in_process(pid: int, secret: bytes) -> set[str]:
    """Return the forms in which a secret stands in what a process has in memory; needs root."""
    wanted, found = forms(secret), set[str]()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, *rest = line.split()
            if "r" not in rights or rest[-1] in {"[vvar]", "[vsyscall]"}:
                continue
            begin, end = (int(part, 16) for part in span.split("-"))
            found |= _found_between(memory, begin, end, wanted)
    return found


def found_in_files(folder: Path, secret: bytes) -> set[tuple[str, str]]:
    """Return where below a folder, and in which form, a secret stands."""
    wanted = forms(secret)
    return {
        (path.name, name)
        for path in folder.rglob("*")
        if path.is_file()
        for name, piece in wanted.items()
        if piece in path.read_bytes()
    }


def _found_between(memory, begin: int, end: int, wanted: dict[str, bytes]) -> set[str]:
    found, tail = set[str](), b""
    for at in range(begin, end, WINDOW_BYTES):
        try:
            memory.seek(at)
            data = tail + memory.read(min(WINDOW_BYTES, end - at))
        except OSError:
            return found  # A mapping of a device, or one that is gone.
        found |= {name for name, piece in wanted.items() if piece in data}
        tail = data[-2 * PIECE_BYTES :]
    return found


def _middle(form: bytes) -> bytes:
    begin = max(0, (len(form) - PIECE_BYTES) // 2) // 4 * 4
    return form[begin : begin + PIECE_BYTES]
