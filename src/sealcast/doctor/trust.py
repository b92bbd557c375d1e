"""Owns the checks of trust: certificates' dates, the clock, the folders and files that hold secrets."""

from dataclasses import dataclass

from sealcast.core.errors import RefusedError, SealcastError, UnreachableError
from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.doctor.finding import Finding, fail, ok, warn

CLOCK_MS_MAX = 30_000
"""Further off than this somebody should look; no key depends on it, only certificates' dates do."""

EXPIRES_SOON_S = 21 * 86_400
"""Three weeks are time enough to renew a server's certificate by hand."""

DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class ServerLook:
    """What a connection to a key server showed: `error` in one line if there was none that we trust.

    `expires_ns` is wall time; `clock_ms` how far its clock is ahead of ours, None where it did not say.
    """

    url: str
    error: str | None = None
    names: tuple[str, ...] = ()
    expires_ns: int | None = None
    clock_ms: int | None = None


@dataclass(frozen=True, slots=True)
class FolderLook:
    """A folder of ours: `mode` None if it is not there, `error` if it could not be looked at."""

    path: str
    mode: int | None = None
    error: str | None = None


def check_server(look: ServerLook, wall_ns: int) -> list[Finding]:
    """Judge a key server: reached and trusted, how long its certificate lasts, how its clock stands."""
    if look.error is not None:
        return [fail("key server", look.error, _server_advice(look))]
    findings = [ok("key server", f"{look.url} is the operator's, known as {', '.join(look.names) or '?'}")]
    if look.expires_ns is not None:
        findings.append(_check_expiry("certificate", look.url, look.expires_ns, wall_ns))
    findings.append(_check_clock(look))
    return findings


def _server_advice(look: ServerLook) -> str:
    text = look.error or ""
    if "another host" in text:
        return "reach it by a name that was given to: sealcast init --host NAME"
    if "CA" in text:
        return "enrol again at the right operator, or correct [keyserver] urls"
    if "out of date" in text:
        return "timedatectl; sealcast serve keyserver needs a new certificate if this clock is right"
    host, _, port = look.url.removeprefix("https://").rpartition(":")
    return f"start it: sealcast serve keyserver; or look at the way: nc -vz {host.strip('[]')} {port}"


def _check_expiry(check: str, what: str, expires_ns: int, wall_ns: int) -> Finding:
    left_s = (expires_ns - wall_ns) // NS_PER_S
    if left_s <= 0:
        return fail(check, f"{what}: expired {-left_s // DAY_S} days ago", "renew it, or correct this clock")
    text = f"{what}: good for {left_s // DAY_S} days"
    return ok(check, text) if left_s > EXPIRES_SOON_S else warn(check, text, "renew it in time")


def _check_clock(look: ServerLook) -> Finding:
    if look.clock_ms is None:
        return warn("clock", f"{look.url} did not tell its time", "date -u; on both machines")
    seconds = abs(look.clock_ms) / 1000
    text = f"{seconds:.1f} s {'behind' if look.clock_ms > 0 else 'ahead of'} {look.url}"
    if abs(look.clock_ms) <= CLOCK_MS_MAX:
        return ok("clock", text)
    return warn(
        "clock",
        f"{text}; keys do not depend on it, certificates' dates do",
        "timedatectl set-ntp true",
    )


def check_folder(look: FolderLook) -> Finding:
    """Judge a folder that holds secrets."""
    if look.error is not None:
        return fail("state", f"{look.path}: {look.error}", f"ls -ld {look.path}")
    if look.mode is None:
        return ok("state", f"{look.path} is not there; it is made when it is needed")
    if look.mode & 0o077:
        return fail("state", f"{look.path} can be read by others", f"chmod 700 {look.path}")
    return ok("state", f"{look.path} has mode {look.mode:04o}")


def check_certificate(role: str, party: str, expires_ns: int, wall_ns: int) -> Finding:
    """Judge a party's own certificate; programs renew it themselves while it is good."""
    finding = _check_expiry("own certificate", f"{role} {party}", expires_ns, wall_ns)
    left_ns = expires_ns - wall_ns
    return ok(finding.check, finding.detail) if left_ns > 0 else finding


def check_admission(channel: str, error: SealcastError | None, keys: int = 0) -> Finding:
    """Judge the key server's answer to a request for a channel's keys."""
    if error is None:
        state = f"{keys} {'key' if keys == 1 else 'keys'} given" if keys else "not on the air"
        return ok("channel", f"{channel}: subscribed, {state}")
    if isinstance(error, RefusedError):
        advice = {
            "not-subscribed": f"sealcast subscriber add {channel} DEVICE",
            "unknown-channel": "sealcast channel list",
            "not-authenticated": "sealcast registry list",
        }.get(error.type, "ask the operator")
        return fail("channel", f"{channel}: {error.detail}", f"at the operator's: {advice}")
    advice = "see the line of the key server" if isinstance(error, UnreachableError) else "enrol again"
    return fail("channel", f"{channel}: {error}", advice)


def clock_ahead_ms(server_ms: int, before_ns: int, after_ns: int) -> int:
    """Return how far a server's time is ahead of ours, which we took before and after asking."""
    return server_ms - (before_ns + after_ns) // 2 // NS_PER_MS
