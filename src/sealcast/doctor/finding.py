"""Owns the result of one check: ok, warn or fail, what was found, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """How a check ended; `warn` is also what could not be looked at."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor: `advice` is a command to type where there is one."""

    check: str
    result: Result
    detail: str
    advice: str = ""


def ok(check: str, detail: str) -> Finding:
    """Return a finding that needs nothing done."""
    return Finding(check, Result.OK, detail)


def warn(check: str, detail: str, advice: str) -> Finding:
    """Return a finding that may matter."""
    return Finding(check, Result.WARN, detail, advice)


def fail(check: str, detail: str, advice: str) -> Finding:
    """Return a finding that stops the stream or the keys."""
    return Finding(check, Result.FAIL, detail, advice)
