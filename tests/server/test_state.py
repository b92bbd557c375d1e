"""Shows the state directory: made once, private, never written over, and refused when it does not fit."""

import datetime as dt
import ipaddress
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from sealcast.core.errors import UsageError
from sealcast.device.vault import Credential
from sealcast.server.certificates import Issued, make_ca
from sealcast.server.state import (
    ServerState,
    create_server_state,
    load_server_state,
    renew_server_certificate,
)
from sealcast.transport.system import SystemClock, SystemRandom

SECRETS = ("master.key", "server.vault", "ca.key", "tls.key")


def make(directory: Path, hosts: tuple[str, ...] = ("keys.example.org", "192.0.2.7")) -> Credential:
    """Make a state directory."""
    return create_server_state(
        directory,
        operator_name="Example",
        hosts=hosts,
        urls=("https://keys.example.org:8443",),
        random=SystemRandom(),
        wall_ns=SystemClock().wall_ns(),
    )


def test_state_is_private_and_comes_back(tmp_path: Path) -> None:
    """Everything is 0600 in a 0700 directory, and loading gives what the operator's credential expects."""
    directory = tmp_path / "deep" / "state"
    credential = make(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert len(files) == 7
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    state = load_server_state(directory)
    assert (state.operator, state.urls) == ("Example", ("https://keys.example.org:8443",))
    assert state.signing.public() == credential.server_key
    assert state.kek.public() == credential.server_kek
    assert state.ca_pem == credential.ca_pem
    assert [each.id for each in state.operators] == [credential.id] == ["operator"]
    assert state.operators[0].signing == credential.signing.public()
    assert (credential.role, credential.servers) == ("operator", ["https://keys.example.org:8443"])


def test_no_secret_is_readable_in_the_files(tmp_path: Path) -> None:
    """The server's private keys stand sealed only, and `repr` of the state shows none."""
    make(tmp_path / "state")
    state = load_server_state(tmp_path / "state")
    written = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    for secret in (state.signing.d, state.kek.d):
        assert secret
        assert secret.encode() not in written
        assert secret not in repr(state)
    assert state.nonce_key.reveal() not in written


def test_certificate_fits_its_names_and_ca(tmp_path: Path) -> None:
    """A strict X.509 verifier takes the certificate for each host given, and for the loopback names."""
    credential = make(tmp_path / "state")
    certificate = x509.load_pem_x509_certificate((tmp_path / "state" / "tls.pem").read_bytes())
    ca = x509.load_pem_x509_certificate(credential.ca_pem.encode())
    names = [x509.DNSName("keys.example.org"), x509.DNSName("localhost")]
    addresses = [x509.IPAddress(ipaddress.ip_address(a)) for a in ("192.0.2.7", "127.0.0.1", "::1")]
    for name in (*names, *addresses):
        verifier = PolicyBuilder().store(Store([ca])).build_server_verifier(name)
        assert verifier.verify(certificate, []) == [certificate, ca]
    now = dt.datetime.now(tz=dt.UTC)  # noqa: TID251 - compared with what the certificate says
    for each in (certificate, ca):
        assert now - each.not_valid_before_utc > dt.timedelta(hours=23)
    assert ca.not_valid_after_utc - now > dt.timedelta(days=3_600)


def test_only_the_own_ca_is_trusted_not_what_stands_behind_it(tmp_path: Path) -> None:
    """A CA file often brings the CAs above it: nobody who pins this operator's is to trust those."""
    now = SystemClock().wall_ns()
    own, above = (make_ca(name, SystemRandom(), now) for name in ("Own", "Above"))
    bundle = Issued(own.certificate_pem + above.certificate_pem, own.key_pem)
    credential = create_server_state(
        tmp_path / "state",
        operator_name="Example",
        hosts=(),
        urls=("https://127.0.0.1:8443",),
        random=SystemRandom(),
        wall_ns=now,
        own_ca=bundle,
    )
    assert credential.ca_pem.encode() == own.certificate_pem
    assert (tmp_path / "state" / "ca.pem").read_bytes() == own.certificate_pem
    # The next server certificate may come from the same file.
    assert renew_server_certificate(tmp_path / "state", SystemRandom(), now, own_ca=bundle)


@pytest.mark.parametrize("existing", [*SECRETS, "operators", "keyserver.sqlite"])
def test_nothing_is_written_over(tmp_path: Path, existing: str) -> None:
    """A file that is there stops the making, and nothing is changed or added."""
    (tmp_path / existing).write_text("mine")
    with pytest.raises(UsageError, match="never overwritten"):
        make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "mine"


def test_missing_state_says_what_to_run(tmp_path: Path) -> None:
    """Without a state directory the line names the command that makes one."""
    with pytest.raises(UsageError, match="sealcast init"):
        load_server_state(tmp_path)


def test_a_directory_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """The database and its files stand in it, so the directory itself is private too."""
    make(tmp_path / "state")
    (tmp_path / "state").chmod(0o750)
    with pytest.raises(UsageError, match="chmod 700"):
        load_server_state(tmp_path / "state")


def test_other_master_key_is_told(tmp_path: Path) -> None:
    """A master key of another server does not open the vault, and the line names both files."""
    make(tmp_path / "one")
    make(tmp_path / "two")
    (tmp_path / "one" / "master.key").write_bytes((tmp_path / "two" / "master.key").read_bytes())
    with pytest.raises(UsageError, match=r"server\.vault does not open with .*master\.key"):
        load_server_state(tmp_path / "one")


DAMAGES = [
    ("master.key", b"short", "not a master key"),
    ("master.key", b"\xff" * 50, "not a master key"),
    ("master.key", None, "cannot read"),
    ("server.vault", b"nonsense", "does not open"),
    ("server.vault", None, "cannot read"),
    ("tls.pem", None, "missing"),
    ("ca.pem", None, "missing"),
    ("operators/operator.json", b"{}", "public keys"),
]


@pytest.mark.parametrize(("name", "content", "line"), DAMAGES)
def test_damaged_state_gives_one_clear_line(
    tmp_path: Path, name: str, content: bytes | None, line: str
) -> None:
    """A damaged or missing file is named, in one line."""
    make(tmp_path / "state")
    path = tmp_path / "state" / name
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=line) as refused:
        load_server_state(tmp_path / "state")
    assert path.name in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", [*SECRETS[:2], "tls.key", "operators/operator.json"])
def test_state_that_others_can_read_is_refused(tmp_path: Path, name: str) -> None:
    """A file that others can read stops the start, with the command that mends it."""
    make(tmp_path / "state")
    (tmp_path / "state" / name).chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        load_server_state(tmp_path / "state")


def test_operator_file_with_a_private_key_is_refused(tmp_path: Path) -> None:
    """Only public halves belong into the server's operators folder."""
    credential = make(tmp_path / "state")
    path = tmp_path / "state" / "operators" / "operator.json"
    path.write_text(path.read_text().replace('"x":', f'"d":"{credential.signing.d}","x":', 1))
    with pytest.raises(UsageError, match="public halves"):
        load_server_state(tmp_path / "state")


@pytest.mark.parametrize(
    "host", ["", "two words", "https://keys.example.org", "name:8443", "münchen.example"]
)
def test_absurd_hosts_are_refused_before_anything_is_made(tmp_path: Path, host: str) -> None:
    """A host that no certificate can name leaves no half-made directory behind."""
    with pytest.raises(UsageError, match="not a host name"):
        make(tmp_path / "state", hosts=(host,))
    assert not (tmp_path / "state").exists()


def test_state_is_a_plain_value(tmp_path: Path) -> None:
    """Paths that the server needs lie inside the directory."""
    make(tmp_path / "state")
    state = load_server_state(tmp_path / "state")
    assert isinstance(state, ServerState)
    assert state.database_path.parent == state.certificate_path.parent == tmp_path / "state"
