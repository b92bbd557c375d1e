"""Owns the program that fuzzes targets with atheris, one by one: NAME[,NAME...] SECONDS FOLDER [CORPUS].

What is found of a target goes into FOLDER/NAME/found, what reaches new code into FOLDER/NAME/grown, the log
into FOLDER/NAME/log; it begins with its seeds and CORPUS/NAME. A line each tells name and status (0: good).
"""

import os
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["sealcast", "tomllib"]):
    from fuzz.targets import INPUT_BYTES_MAX, all_targets

    TARGETS = all_targets()

INPUT_S_MAX = 10
MEMORY_MIB_MAX = 1_024


def main() -> None:
    """Fuzz each target for so many seconds, or until something is found, in a copy of this process."""
    names, seconds, folder, *corpus = sys.argv[1:]
    for name in names.split(","):
        place = Path(folder) / name
        for part in ("found", "grown"):
            (place / part).mkdir(parents=True, exist_ok=True)
        child = os.fork()
        if child == 0:
            fuzz(name, seconds, place, [f"{each}/{name}" for each in corpus if Path(each, name).is_dir()])
        _, status = os.waitpid(child, 0)
        print(name, os.waitstatus_to_exitcode(status), flush=True)


def fuzz(name: str, seconds: str, place: Path, corpus: list[str]) -> None:
    """Fuzz one target; the library ends the process."""
    log = os.open(place / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for standard in (1, 2):
        os.dup2(log, standard)
    for number, seed in enumerate(TARGETS[name].seeds):
        (place / "grown" / f"seed-{number}").write_bytes(seed)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-timeout={INPUT_S_MAX}",
        f"-rss_limit_mb={MEMORY_MIB_MAX}",
        f"-artifact_prefix={place}/found/",
        "-print_final_stats=1",
        "-seed=1",
    ]
    atheris.Setup([sys.argv[0], *options, f"{place}/grown", *corpus], TARGETS[name].run)
    atheris.Fuzz()


main()
