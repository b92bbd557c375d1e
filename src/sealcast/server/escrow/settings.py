"""Owns the settings of a running escrow, as the command line and configuration give them."""

from dataclasses import dataclass
from pathlib import Path

from sealcast.core.secret import Secret
from sealcast.device.token import TokenPlace
from sealcast.escrow.rules import Refunds, Timeouts
from sealcast.server.settings import KeyserverSettings

NO_WORD, USUAL_REFUNDS = Timeouts(), Refunds()
CRL_EVERY_S = 60
CRL_MAX_AGE_S = 900


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """A PKCS#11 token for new private keys, and its PIN."""

    place: TokenPlace
    pin: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class EscrowSettings(KeyserverSettings):
    """Beyond where every server keeps its state and listens: how orders end, who revokes, where keys are.

    Of one buyer and price class no more orders go back than `refunds` has.
    The list of revoked certificates is read every `crl_every_s` from `key_servers`, those of the state unless
    given, or from `crl_file`; nothing is opened once it is older than `crl_max_age_s`. New keys are made in
    `token`, if there is one.
    """

    timeouts: Timeouts = NO_WORD
    refunds: Refunds = USUAL_REFUNDS
    crl_every_s: float = CRL_EVERY_S
    crl_max_age_s: float = CRL_MAX_AGE_S
    crl_file: Path | None = None
    key_servers: tuple[str, ...] = ()
    token: TokenSettings | None = None
