"""Owns the credential of a simulated sender: its slot file is sealed to it."""

from sealcast.device.vault import Credential
from sealcast.messages.jwk import Jwk, new_oct_key, new_sealing_pair, new_signing_pair
from sealcast.testing import SimRandom


def make_credential(name: str = "studio") -> Credential:
    """Return a sender's credential; another name gives other keys."""
    random = SimRandom(name)
    return Credential(
        role="sender",
        id=name,
        operator="example",
        signing=new_signing_pair(random),
        kek=new_oct_key(random),
        ca_pem="",
        servers=["https://localhost:8443"],
        server_key=Jwk(kty="OKP", crv="Ed25519", x=new_signing_pair(random).x),
        server_kek=new_sealing_pair(random).public(),
    )
