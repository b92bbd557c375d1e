"""Owns what an operation of the API is: its name and path, who may call it, what is asked and answered."""

from dataclasses import dataclass
from typing import Literal

import msgspec

from sealcast.messages import requests
from sealcast.messages.requests import Role

Caller = (
    Role
    | Literal[
        "newcomer",
        "certified",
        "device-or-sender",
        "operator-or-server",
        "server",
        "seller-or-operator",
        "device-or-seller",
        "device-or-seller-or-operator",
    ]
)
"""Who may call: a role; `certified` is any party with a certificate, `newcomer` one that is not known yet.

`server` is another server of the operator, for instance a key server at a reception manager.
"""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the key server's API; `name` is also the request's `op` claim."""

    name: str
    path: str
    role: Caller
    request: type[requests.Request]
    answer: type[msgspec.Struct]
    sealed: bool = False
    is_remembered: bool = True
    """Whether the decision is kept under its `jti`; not where doing it twice does the same."""
