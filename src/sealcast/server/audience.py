"""Owns whom a request has to be signed for: an operator's servers, or one of its escrows and no other."""

from dataclasses import dataclass

from sealcast.keyserver.values import refusal
from sealcast.messages.escrow import escrow_audience


@dataclass(frozen=True, slots=True)
class Audience:
    """Who a server is in `aud`; `escrow` is the id of an escrow, None for all other servers."""

    operator: str
    escrow: str | None = None

    def check(self, named: str) -> None:
        """Raise a refusal for what was signed for somebody else: `wrong-escrow`, `not-authenticated`.

        Else an escrow could have its own parties' requests carried out at another one.
        """
        if self.escrow is None:
            if named != self.operator:
                raise refusal("not-authenticated", f"this is a server of {self.operator}")
            return
        if named == escrow_audience(self.operator, self.escrow):
            return
        prefix = escrow_audience(self.operator, "")
        whom = (
            f"the escrow {named.removeprefix(prefix)}"
            if named.startswith(prefix)
            else f"{named!r}, no escrow"
        )
        raise refusal(
            "wrong-escrow",
            f"the request was signed for {whom}; this is the escrow {self.escrow} of {self.operator}",
        )
