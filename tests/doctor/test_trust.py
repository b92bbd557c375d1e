"""Tests of doctor.trust and doctor.papers: servers, certificates, clocks, vaults and folders."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from sealcast.config.schema import AdminSection, KeyServerSection, ReceiverSection, SenderSection, Settings
from sealcast.core.errors import RefusedError, UnreachableError, UsageError
from sealcast.core.ports import NS_PER_S
from sealcast.core.secret import Secret
from sealcast.device.passphrase import passphrase_of
from sealcast.device.vault import load_vault, new_vault, save_vault
from sealcast.doctor import papers, trust
from sealcast.doctor.finding import Result
from sealcast.doctor.servers import nonce_time_ms
from sealcast.doctor.trust import FolderLook, ServerLook
from sealcast.messages.enrolment import NEWCOMER
from sealcast.messages.nonces import mint_nonce
from sealcast.server.state import create_server_state
from sealcast.testing import SimRandom

URL = "https://keys.example:8443"
DAY_NS = 86_400 * NS_PER_S
NOW = 1_000 * DAY_NS


def results(look: ServerLook) -> dict[str, Result]:
    """Return the result of each check of a server."""
    return {finding.check: finding.result for finding in trust.check_server(look, NOW)}


def test_a_good_server() -> None:
    """Reached and trusted, with a certificate for long and a clock like ours."""
    look = ServerLook(URL, names=("keys.example",), expires_ns=NOW + 100 * DAY_NS, clock_ms=400)
    assert results(look) == {"key server": Result.OK, "certificate": Result.OK, "clock": Result.OK}


def test_certificate_and_clock() -> None:
    """A certificate near its end and a clock minutes off are warnings; past its end is a failure."""
    look = ServerLook(URL, expires_ns=NOW + 3 * DAY_NS, clock_ms=-180_000)
    assert results(look) == {"key server": Result.OK, "certificate": Result.WARN, "clock": Result.WARN}
    assert trust.check_server(look, NOW)[2].detail.startswith("180.0 s ahead of")
    expired = ServerLook(URL, expires_ns=NOW - DAY_NS)
    assert results(expired) == {"key server": Result.OK, "certificate": Result.FAIL, "clock": Result.WARN}


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        ("cannot connect to it: Connection refused", "nc -vz keys.example 8443"),
        ("its certificate is for another host (...)", "sealcast init --host NAME"),
        ("its certificate is not by this operator's CA (...)", "enrol again"),
        ("its certificate is out of date (...)", "timedatectl"),
    ],
)
def test_each_fault_of_a_server_has_its_remedy(error: str, advice: str) -> None:
    """What keeps us from a server is one failure, and the remedy fits it."""
    [finding] = trust.check_server(ServerLook(URL, error), NOW)
    assert finding.result is Result.FAIL
    assert advice in finding.advice


def test_folders() -> None:
    """A folder that others can read is told with the command that closes it."""
    assert trust.check_folder(FolderLook("/x", 0o700)).result is Result.OK
    assert trust.check_folder(FolderLook("/x")).result is Result.OK
    assert trust.check_folder(FolderLook("/x", 0o750)).advice == "chmod 700 /x"
    assert trust.check_folder(FolderLook("/x", error="Permission denied")).result is Result.FAIL


def test_admission() -> None:
    """The key server's no comes with what the operator types; no answer refers to the line above."""
    assert trust.check_admission("news", None, 2).detail == "news: subscribed, 2 keys given"
    assert trust.check_admission("news", None).detail == "news: subscribed, not on the air"
    refused = trust.check_admission("news", RefusedError("not-subscribed", "tv-1 is not subscribed"))
    assert refused.result is Result.FAIL
    assert refused.advice == "at the operator's: sealcast subscriber add news DEVICE"
    away = trust.check_admission("news", UnreachableError("no answer"))
    assert (away.result, away.advice) == (Result.FAIL, "see the line of the key server")


def test_own_certificate() -> None:
    """A party's certificate is renewed by its programs, so only its end is a failure."""
    assert trust.check_certificate("device", "tv-1", NOW + DAY_NS, NOW).result is Result.OK
    assert trust.check_certificate("device", "tv-1", NOW - DAY_NS, NOW).result is Result.FAIL


def test_the_time_in_a_nonce() -> None:
    """A nonce begins with the server's time; anything else tells nothing."""
    assert nonce_time_ms(mint_nonce(Secret(bytes(32)), 1_234_567)) == 1_234_567
    for nonce in ("", "AAAA", "???", "\u00e9"):
        assert nonce_time_ms(nonce) is None
    assert trust.clock_ahead_ms(5_000, 2_900 * 10**6, 3_100 * 10**6) == 2_000


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    """Return the vault of a new operator."""
    credential = create_server_state(
        tmp_path / "keyserver", operator_name="T", hosts=(), urls=(URL,), random=SimRandom(1), wall_ns=NOW
    )
    save_vault(tmp_path / "operator.vault", credential, SimRandom(2))
    return tmp_path / "operator.vault"


def test_vaults(vault: Path) -> None:
    """A vault that opens is named with its party; another role's, a damaged one and none are told."""
    findings, held = papers.check_vaults(Settings(), None, NOW)
    assert [finding.result for finding in findings] == [Result.WARN]
    assert held.any is None
    wrong = Settings(receiver=ReceiverSection(credential=str(vault)))
    findings, _ = papers.check_vaults(wrong, None, NOW)
    assert "is of the role operator" in findings[0].detail
    vault.with_suffix(".key").chmod(0o644)
    findings, held = papers.check_vaults(wrong, None, NOW)
    assert findings[0].result is Result.FAIL
    assert "chmod 600" in findings[0].detail
    assert held.any is None


def test_a_vault_under_a_passphrase(vault: Path, tmp_path: Path) -> None:
    """A passphrase that is given opens it; without one the finding says how to give it."""
    secret = passphrase_of("correct horse battery", is_new=True)
    sealed = tmp_path / "sealed.vault"
    new_vault(sealed, load_vault(vault), SimRandom(3), passphrase=secret)
    settings = Settings(admin=AdminSection(credential=str(sealed)))
    findings, held = papers.check_vaults(settings, None, NOW, lambda _: secret)
    assert (findings[0].result, held.any is None) == (Result.OK, False)
    findings, held = papers.check_vaults(settings, None, NOW)
    assert (findings[0].result, held.any is None) == (Result.FAIL, True)


def test_an_enrolment_that_has_not_ended(vault: Path, tmp_path: Path) -> None:
    """A vault that still waits for its party's name is told, and no server is asked with it."""
    waiting = tmp_path / "waiting.vault"
    new_vault(waiting, replace(load_vault(vault), id=NEWCOMER), SimRandom(3))
    findings, held = papers.check_vaults(Settings(), str(waiting), NOW)
    assert (findings[0].result, held.any, held.device) == (Result.WARN, None, None)
    assert "sealcast enrol again" in findings[0].advice


def test_state_folders(tmp_path: Path) -> None:
    """Named folders are looked at, with the usual ones where they exist."""
    (tmp_path / "keys").mkdir(mode=0o755)
    settings = Settings(
        keyserver=KeyServerSection(state=str(tmp_path / "keys")),
        sender=SenderSection(state=str(tmp_path / "absent")),
    )
    keys, absent = papers.check_folders(settings, {})
    assert (keys.result, keys.advice) == (Result.FAIL, f"chmod 700 {tmp_path / 'keys'}")
    assert absent.result is Result.OK


def test_configuration(tmp_path: Path) -> None:
    """A configuration that does not fit is a finding like any other."""
    finding = papers.check_configuration(tmp_path / "x.toml", UsageError("x.toml:3: no such key"))
    assert (finding.result, finding.advice) == (Result.FAIL, "sealcast config check")
    assert papers.check_configuration(tmp_path / "x.toml", None).detail.startswith("no file")
