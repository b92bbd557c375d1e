"""Owns one modular power with a secret exponent, in time and memory accesses that do not depend on it.

OpenSSL's `BN_mod_exp_mont_consttime` where the system has the library: 2 ms for both primes of a key of 3,072
bits, without the interpreter's lock. Elsewhere GMP's `mpz_powm_sec` (gmpy2), 3 ms, which holds the lock.
"""

import ctypes
import ctypes.util
import functools
from collections.abc import Callable

import gmpy2

from sealcast.core.errors import LocalError

Power = Callable[[int, int, int], int]
"""base, exponent, odd modulus; the base is below the modulus."""

_POINTER = ctypes.c_void_p
_FUNCTIONS: dict[str, tuple[type | None, list[type]]] = {
    "BN_new": (_POINTER, []),
    "BN_CTX_new": (_POINTER, []),
    "BN_CTX_free": (None, [_POINTER]),
    "BN_clear_free": (None, [_POINTER]),
    "BN_bin2bn": (_POINTER, [ctypes.c_char_p, ctypes.c_int, _POINTER]),
    "BN_bn2binpad": (ctypes.c_int, [_POINTER, ctypes.c_char_p, ctypes.c_int]),
    "BN_mod_exp_mont_consttime": (ctypes.c_int, [_POINTER] * 6),
}


def secret_power() -> Power:
    """Return the power to be used here."""
    return openssl_power() or gmp_power()


@functools.cache
def openssl_power() -> Power | None:
    """Return OpenSSL's power, None where the system has no library with these functions."""
    name = ctypes.util.find_library("crypto")
    if name is None:
        return None
    try:
        library = ctypes.CDLL(name)
        for function, (result, arguments) in _FUNCTIONS.items():
            found = getattr(library, function)
            found.restype, found.argtypes = result, arguments
    except (OSError, AttributeError):
        return None

    def power(base: int, exponent: int, modulus: int) -> int:
        size = (modulus.bit_length() + 7) // 8
        numbers = [
            library.BN_bin2bn(each.to_bytes(size, "big"), size, None) for each in (base, exponent, modulus)
        ]
        result, context = library.BN_new(), library.BN_CTX_new()
        out = ctypes.create_string_buffer(size)
        try:
            if not all((*numbers, result, context)):
                raise LocalError("there is no memory for an opening")
            done = library.BN_mod_exp_mont_consttime(result, *numbers, context, None)
            if done != 1 or library.BN_bn2binpad(result, out, size) != size:
                raise LocalError("the arithmetic of an opening failed")
            return int.from_bytes(out.raw, "big")
        finally:
            # Takes a null pointer too, and overwrites what it frees.
            for each in (*numbers, result):
                library.BN_clear_free(each)
            library.BN_CTX_free(context)
            ctypes.memset(out, 0, size)

    return power


def gmp_power() -> Power:
    """Return GMP's power."""

    def power(base: int, exponent: int, modulus: int) -> int:
        return int(gmpy2.powmod_sec(base, exponent, modulus))

    return power
