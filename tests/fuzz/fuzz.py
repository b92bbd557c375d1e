"""Owns the program that fuzzes one target with atheris: NAME, seconds, and folders to find and to grow.

`python -m fuzz.fuzz NAME SECONDS FOUND CORPUS...`: what crashes is written into FOUND, what reaches new code
into the first CORPUS. It ends with libFuzzer's status, 0 where nothing was found.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["sealcast", "tomllib"]):
    from fuzz.targets import INPUT_BYTES_MAX, all_targets

    TARGETS = all_targets()

INPUT_S_MAX = 10
MEMORY_MIB_MAX = 1_024


def main() -> None:
    """Fuzz until time is over or something is found."""
    name, seconds, found, *corpus = sys.argv[1:]
    target = TARGETS[name]
    for number, seed in enumerate(target.seeds):
        (Path(corpus[0]) / f"seed-{number}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-timeout={INPUT_S_MAX}",
        f"-rss_limit_mb={MEMORY_MIB_MAX}",
        f"-artifact_prefix={found}/",
        "-print_final_stats=1",
        "-seed=1",
    ]
    atheris.Setup([sys.argv[0], *options, *corpus], target.run)
    atheris.Fuzz()


main()
