"""Owns the HTTP application: a route for each operation of the table, nonce, health, metrics, OpenAPI."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from litestar import Litestar, Request, Response, get, post
from litestar.exceptions import ClientException, HTTPException
from litestar.handlers import HTTPRouteHandler

from sealcast.keyserver.calls import Handler
from sealcast.keyserver.values import refusal
from sealcast.messages import operations, problems
from sealcast.messages.encoding import MESSAGE_BYTES_MAX, encode
from sealcast.messages.enrolment import CRL_PATH, OPERATOR_PATH, OperatorDocument
from sealcast.messages.escrow import PLACE_PATH, EscrowPlaceAnswer
from sealcast.messages.operation import Operation
from sealcast.messages.problems import Problem
from sealcast.server.front import Answering, Front
from sealcast.server.openapi import answer_class, openapi_config, operation_class
from sealcast.server.silence import Silence

NONCE_PATH, HEALTH_PATH, METRICS_PATH = "/v1/nonce", "/healthz", "/metrics"
MEDIA_TYPE_CRL = "application/pkix-crl"
MEDIA_TYPE_METRICS = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Public:
    """What the server tells everybody: health, metrics, `operator` in JSON, the revocation list in DER.

    An escrow tells in `place` which one it is, in JSON. `operator` and `place` change with a reload.
    """

    is_healthy: Callable[[], Awaitable[bool]]
    render_metrics: Callable[[], bytes]
    operator: bytes
    crl: Callable[[], Awaitable[bytes]]
    place: bytes | None = None


def make_app(
    pipeline: Answering,
    handlers: Iterable[Handler],
    *,
    public: Public,
    silence: Silence,
    served: Sequence[Operation] = operations.ALL,
) -> Front:
    """Return the application; every operation of `served` must have its handler."""
    by_name = {handler.operation.name: handler for handler in handlers}
    by_path = {operation.path: by_name[operation.name] for operation in served}
    inside = Litestar(
        [*map(_documented, served), *_plain_routes(pipeline, public)],
        openapi_config=openapi_config(served),
        exception_handlers={HTTPException: _problem_of, Exception: _fault},
        request_max_body_size=MESSAGE_BYTES_MAX,
        logging_config=None,
    )
    return Front(inside, by_path, pipeline, silence)


def _documented(operation: Operation) -> HTTPRouteHandler:
    """Return the route by which an operation is described; the front carries requests out before."""

    @post(
        operation.path,
        name=operation.name,
        operation_class=operation_class(operation),
        status_code=200,
        media_type=problems.MEDIA_TYPE_JOSE,
    )
    async def carried_out_before() -> bytes:
        raise ClientException("the front carries this out")

    return carried_out_before


def _plain_routes(pipeline: Answering, public: Public) -> list[HTTPRouteHandler]:
    @get(NONCE_PATH, status_code=204, summary="A fresh nonce, in the header Sealcast-Nonce")
    async def nonce() -> Response[None]:
        return Response(None, status_code=204, headers=pipeline.nonce_headers())

    @get(HEALTH_PATH, summary="Whether the server and its database work")
    async def health() -> Response[dict[str, str]]:
        healthy = await public.is_healthy()
        return Response({"status": "ok" if healthy else "failing"}, status_code=200 if healthy else 503)

    @get(METRICS_PATH, summary="Metrics in the Prometheus text format", media_type=MEDIA_TYPE_METRICS)
    async def metrics() -> Response[bytes]:
        return Response(public.render_metrics(), media_type=MEDIA_TYPE_METRICS)

    @get(
        OPERATOR_PATH,
        summary="Who the operator is: its CA and the server's public keys, for newcomers",
        operation_class=answer_class(OperatorDocument),
    )
    async def operator() -> Response[bytes]:
        return Response(public.operator, media_type=problems.MEDIA_TYPE_JSON)

    @get(
        CRL_PATH,
        summary="Revoked certificates of parties (RFC 5280, DER)",
        media_type=MEDIA_TYPE_CRL,
    )
    async def crl() -> Response[bytes]:
        return Response(await public.crl(), media_type=MEDIA_TYPE_CRL)

    routes: list[HTTPRouteHandler] = [nonce, health, metrics, operator, crl]
    return routes if public.place is None else [*routes, _place_route(public)]


def _place_route(public: Public) -> HTTPRouteHandler:
    @get(
        PLACE_PATH,
        summary="Which escrow this is: its word on its TLS key, under its certificate",
        operation_class=answer_class(EscrowPlaceAnswer),
    )
    async def place() -> Response[bytes]:
        return Response(public.place or b"", media_type=problems.MEDIA_TYPE_JSON)

    return place


def _problem_of(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer what never reached an operation: an unknown path, a wrong method, a body too large."""
    problem = Problem(type="about:blank", title=error.detail, status=error.status_code)
    return Response(encode(problem), status_code=error.status_code, media_type=problems.MEDIA_TYPE_PROBLEM)


def _fault(_: Request[Any, Any, Any], __: Exception) -> Response[bytes]:
    """Answer a fault of ours without a word about our insides."""
    no = refusal("internal", "the key server has a fault; its log says more")
    problem = problems.problem(no.type, no.detail)
    return Response(encode(problem), status_code=no.status, media_type=problems.MEDIA_TYPE_PROBLEM)
