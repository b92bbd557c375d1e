"""Owns the description of the API (OpenAPI 3.1): what is inside the signed and sealed bodies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Request
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, Reference, RequestBody
from litestar.openapi.spec import Operation as OpenAPIOperation

import sealcast
from sealcast.messages import problems
from sealcast.messages.enrolment import OperatorDocument
from sealcast.messages.operation import Operation

REFERENCE = "#/components/schemas/{name}"
SCHEMA_PATH = "/schema"


def openapi_config(served: Sequence[Operation]) -> OpenAPIConfig:
    """Return the configuration: JSON at /schema/openapi.json and no pages, so that nothing is fetched."""
    return OpenAPIConfig(
        title="Sealcast key server",
        version=sealcast.__version__,
        description="Requests are JWS (RFC 7515) by the caller; the schema is that of the payload. Answers "
        "with keys are JWE (RFC 7516) to the caller, holding a JWS by the server; the schema is that of its "
        "payload.",
        path=SCHEMA_PATH,
        render_plugins=[_Document(served)],
    )


def operation_class(operation: Operation) -> type[OpenAPIOperation]:
    """Return the class that documents one operation of the table."""

    @dataclass
    class Documented(OpenAPIOperation):
        def __post_init__(self) -> None:
            self.operation_id = operation.name
            self.summary = _first_sentence(operation.request)
            self.tags = [operation.role]
            self.request_body = RequestBody(
                content={problems.MEDIA_TYPE_JOSE: _media(operation.request)}, required=True
            )
            media = problems.MEDIA_TYPE_JOSE if operation.sealed else problems.MEDIA_TYPE_JSON
            self.responses = {
                "200": OpenAPIResponse(
                    description=_first_sentence(operation.answer), content={media: _media(operation.answer)}
                ),
                "default": OpenAPIResponse(
                    description="A no, with its reason (RFC 9457)",
                    content={problems.MEDIA_TYPE_PROBLEM: _media(problems.Problem)},
                ),
            }

    return Documented


def answer_class(answer: type[msgspec.Struct]) -> type[OpenAPIOperation]:
    """Return the class that documents what is answered to everybody, in JSON made by ourselves."""

    @dataclass
    class Documented(OpenAPIOperation):
        def __post_init__(self) -> None:
            content = {problems.MEDIA_TYPE_JSON: _media(answer)}
            self.responses = {"200": OpenAPIResponse(description=_first_sentence(answer), content=content)}

    return Documented


class _Document(JsonRenderPlugin):
    """The document with our schemas in it: the library keeps only those that it made itself."""

    def __init__(self, served: Sequence[Operation]) -> None:
        super().__init__(path="/openapi.json")
        self._served = served

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        components = openapi_schema.get("components", {})
        schemas = {**components.get("schemas", {}), **_schemas(self._served)}
        _describe_nothing(openapi_schema)
        return super().render(request, {**openapi_schema, "components": {**components, "schemas": schemas}})


def _describe_nothing(document: dict[str, Any]) -> None:
    """Take out the content that the library claims for answers without any (204)."""
    for path in document.get("paths", {}).values():
        for operation in path.values():
            operation["responses"].get("204", {}).pop("content", None)


def _media(kind: type[msgspec.Struct]) -> OpenAPIMediaType:
    return OpenAPIMediaType(schema=Reference(ref=REFERENCE.format(name=kind.__name__)))


def _schemas(served: Sequence[Operation]) -> dict[str, Any]:
    """Return the JSON Schemas of all messages, as msgspec checks them."""
    kinds = {kind for operation in served for kind in (operation.request, operation.answer)}
    _, schemas = msgspec.json.schema_components(
        [*kinds, problems.Problem, OperatorDocument], ref_template=REFERENCE
    )
    return schemas


def _first_sentence(kind: type[msgspec.Struct]) -> str:
    return (kind.__doc__ or kind.__name__).strip().splitlines()[0]
