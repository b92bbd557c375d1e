"""Owns what a master tells while it stands by: health, metrics, a nonce, the operator's document.

Everything that is signed is relayed, so nothing else is here.
"""

from collections.abc import Callable

from sealcast.core.ports import NS_PER_MS
from sealcast.keyserver.calls import Handler
from sealcast.keyserver.values import refusal
from sealcast.messages import nonces, problems
from sealcast.messages.encoding import encode
from sealcast.server.app import Public, make_app
from sealcast.server.cluster.office import Office
from sealcast.server.founding import operator_document
from sealcast.server.front import Application
from sealcast.server.pipeline import Give, HttpAnswer
from sealcast.server.silence import Silence


class Standby:
    """The application of a server that stands by; it is well while it can look at the lease."""

    def __init__(self, office: Office, is_well: Callable[[], bool]) -> None:
        self._office, self._is_well = office, is_well
        self._public = Public(self._is_healthy, self._metrics, b"", self._crl)
        self.reload()
        self.app: Application = make_app(
            self, (), public=self._public, silence=Silence(is_on=False), served=()
        )

    def reload(self) -> None:
        """Tell the office's present addresses."""
        state, settings = self._office.state, self._office.settings
        self._public.operator = operator_document(state, settings.urls or state.urls)

    def nonce_headers(self) -> dict[str, str]:
        """Return the header with a fresh nonce: all servers take one another's."""
        wall_ms = self._office.clock.wall_ns() // NS_PER_MS
        return {problems.HEADER_NONCE: nonces.mint_nonce(self._office.state.nonce_key, wall_ms)}

    async def answer(self, handler: Handler, body: bytes) -> HttpAnswer:
        """Answer nothing: what is signed is relayed before it comes here."""
        _ = handler, body
        no = refusal("busy", "this server stands by; ask again in a second")
        return HttpAnswer(
            no.status, encode(problems.problem(no.type, no.detail)), problems.MEDIA_TYPE_PROBLEM, {}, no.type
        )

    def begin(self, handler: Handler, body: bytes, give: Give) -> bool:
        """Have no short way."""
        _ = handler, body, give
        return False

    async def _is_healthy(self) -> bool:
        return self._is_well()

    def _metrics(self) -> bytes:
        return self._office.metrics.render(channels_on_air=0, stale_reports=0)

    async def _crl(self) -> bytes:
        raise refusal("busy", "this server stands by; ask again in a second")
