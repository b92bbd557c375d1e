"""Owns what this machine remembers of its orders: at which escrow each is, and what was bought.

One file for each order below the state folder, so that `sealcast order confirm ORDER` needs no address. None
of it is secret, and none is believed: an escrow proves to be one by the operator's CA.
"""

import os
from pathlib import Path

import msgspec

from sealcast.config.load import Loaded
from sealcast.config.places import private_dir, state_dir
from sealcast.core.errors import FormatError, UsageError
from sealcast.device.files import read_private, replace_private
from sealcast.messages.encoding import decode, encode
from sealcast.messages.escrow import OrderId

FOLDER = "purchases"
SUFFIX = ".json"


class Bought(msgspec.Struct, frozen=True, kw_only=True):
    """An order of a device: `servers` are those of `escrow`, which holds the money; `package` its file."""

    order: OrderId
    device: str
    escrow: str
    servers: list[str]
    title: str
    package: str


def folder_of(loaded: Loaded) -> Path:
    """Return where a machine keeps its orders: below the receiver's state, as all that is the device's."""
    state = loaded.settings.receiver.state
    return Path(state) if state else state_dir(os.environ)


def remember(folder: Path, bought: Bought) -> None:
    """Keep where an order is; told again, it is replaced. Raises UsageError where it cannot write."""
    replace_private(private_dir(folder / FOLDER) / (bought.order + SUFFIX), encode(bought) + b"\n")


def find(folder: Path, order: str) -> Bought | None:
    """Return what is remembered of an order, None if nothing is."""
    return next((each for each in known(folder) if each.order == order), None)


def known(folder: Path) -> list[Bought]:
    """Return all orders that are remembered; raises UsageError for a file that is not ours."""
    found = []
    for path in sorted((folder / FOLDER).glob("*" + SUFFIX)):
        try:
            found.append(decode(read_private(path).strip(), Bought))
        except FormatError as error:
            raise UsageError(f"{path} is no record of an order: {error}; move it away") from error
    return found
