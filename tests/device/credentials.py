"""Owns the credential that the tests of the device keep in vaults."""

from sealcast.device.vault import Credential
from sealcast.messages.jwk import new_oct_key, new_sealing_pair, new_signing_pair
from sealcast.testing import SimRandom

RANDOM = SimRandom(1)
CREDENTIAL = Credential(
    role="device",
    id="SN-0001",
    operator="example",
    signing=new_oct_key(RANDOM),
    kek=new_oct_key(RANDOM),
    ca_pem="-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----\n",
    servers=["https://keys.example:8443"],
    server_key=new_signing_pair(RANDOM).public(),
    server_kek=new_sealing_pair(RANDOM).public(),
)
