"""Owns the looks at what a person was given: configuration, vaults, certificates, folders of state."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from sealcast.config.places import state_dir
from sealcast.config.schema import Settings
from sealcast.core.errors import FormatError, UsageError
from sealcast.device.holder import PinFor, open_with_keys
from sealcast.device.vault import Credential, PassphraseFor, Vault
from sealcast.doctor import trust
from sealcast.doctor.finding import Finding, fail, ok, warn
from sealcast.doctor.servers import certificate_end_ns
from sealcast.doctor.system import look_at_folder
from sealcast.messages.enrolment import NEWCOMER

LOST_VAULT = "do as it says; if the vault is lost, ask the operator for an invitation and enrol again"


@dataclass(frozen=True, slots=True)
class Papers:
    """The vaults that open: `device` for questions about channels, `any` for key servers."""

    device: Vault | None = None
    any: Credential | None = None


def check_configuration(path: Path, error: UsageError | None) -> Finding:
    """Say whether the configuration was read; `error` is why not."""
    if error is not None:
        return fail("configuration", str(error), "sealcast config check")
    return ok("configuration", str(path) if path.exists() else f"no file {path}: the defaults")


def check_vaults(
    settings: Settings,
    flag: str | None,
    wall_ns: int,
    passphrase_for: PassphraseFor | None = None,
    pin_for: PinFor | None = None,
) -> tuple[list[Finding], Papers]:
    """Open each vault that the settings or `flag` name; return what was found and what opened."""
    named = {
        "device": flag or settings.receiver.credential,
        "sender": settings.sender.credential,
        "operator": settings.admin.credential,
    }
    findings: list[Finding] = []
    opened: dict[str, Vault] = {}
    for role, path in named.items():
        if path is None:
            continue
        try:
            vault = open_with_keys(Path(path), passphrase_for, pin_for)
        except UsageError as error:
            findings.append(fail("credential", str(error), LOST_VAULT))
            continue
        findings += _check_credential(path, role, vault.credential, wall_ns)
        if vault.credential.id != NEWCOMER:
            opened[vault.credential.role] = vault
    if not any(named.values()):
        findings.append(
            warn(
                "credential",
                "no vault is named: key servers and channels are not looked at",
                "sealcast doctor --credential FILE.vault",
            )
        )
    first = next(iter(opened.values()), None)
    return findings, Papers(opened.get("device"), _with_urls(first.credential if first else None, settings))


def check_folders(settings: Settings, environment: Mapping[str, str]) -> list[Finding]:
    """Judge the folders of state that are named or there."""
    base = state_dir(environment)
    named = {
        base / "keyserver": settings.keyserver.state,
        base / "sender": settings.sender.state,
    }
    findings = []
    for usual, path in named.items():
        look = look_at_folder(Path(path) if path else usual)
        if path or look.mode is not None or look.error:
            findings.append(trust.check_folder(look))
    return findings


def _check_credential(path: str, role: str, credential: Credential, wall_ns: int) -> list[Finding]:
    if credential.id == NEWCOMER:
        detail = f"{path} waits for the end of an enrolment"
        return [warn("credential", detail, "type the command sealcast enrol again")]
    if credential.role != role:
        detail = f"{path} is of the role {credential.role}, and one of the role {role} is wanted"
        return [fail("credential", detail, "sealcast config show")]
    findings = [ok("credential", f"{path} opens: {role} {credential.id} of {credential.operator}")]
    if credential.certificates is not None:
        try:
            ends = min(
                certificate_end_ns(pem)
                for pem in (credential.certificates.signing, credential.certificates.kek)
            )
            findings.append(trust.check_certificate(role, credential.id, ends, wall_ns))
        except FormatError as error:
            findings.append(fail("own certificate", f"{path}: {error}", "enrol again"))
    return findings


def _with_urls(credential: Credential | None, settings: Settings) -> Credential | None:
    """Return the operator's credential with the addresses that administration uses."""
    if credential is None or credential.role != "operator" or not settings.keyserver.urls:
        return credential
    return replace(credential, servers=settings.keyserver.urls)
