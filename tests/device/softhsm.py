"""Owns PKCS#11 tokens for tests: SoftHSM2 with a folder of its own."""

import os
import subprocess
from pathlib import Path

import pkcs11

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN, SO_PIN = "4711", "08154711"
VARIABLE = "SOFTHSM2_CONF"


def make_token(folder: Path, label: str) -> str:
    """Make a token in a new folder, have the library see it, and return its PKCS#11 URI.

    `SOFTHSM2_CONF` must name `folder`/softhsm2.conf from now on; programs started later inherit it.
    """
    tokens = folder / "tokens"
    tokens.mkdir(parents=True, exist_ok=True)
    config = folder / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", SO_PIN]
    done = subprocess.run(
        command, env=os.environ | {VARIABLE: str(config)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    os.environ[VARIABLE] = str(config)
    pkcs11.lib(MODULE).reinitialize()
    return f"pkcs11:token={label}?module-path={MODULE}"
