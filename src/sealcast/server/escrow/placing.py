"""Owns an escrow's word on where it is: its TLS key, signed, so that no other escrow can pass for it."""

from sealcast.device.certified import read_certificate, spki_digest
from sealcast.messages import jose
from sealcast.messages.encoding import encode
from sealcast.messages.escrow import TYP_ESCROW_PLACE, EscrowPlace, EscrowPlaceAnswer
from sealcast.server.state import ServerState
from sealcast.server.state_reception import check_is_escrow

VERSION = 1


def place_of(state: ServerState) -> bytes:
    """Return what an escrow with this state tells at `PLACE_PATH`, in JSON; raises UsageError."""
    identity = check_is_escrow(state)
    tls = spki_digest(read_certificate(state.certificate_path.read_text()))
    place = EscrowPlace(version=VERSION, escrow=identity.id, operator=state.operator, tls=tls)
    token = jose.sign(encode(place), state.signing, kid=identity.id, typ=TYP_ESCROW_PLACE)
    return encode(EscrowPlaceAnswer(place=token, certificate=identity.certificate))
