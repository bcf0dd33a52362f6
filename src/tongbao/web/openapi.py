"""OpenAPI 3.1, printed from the table of routes and the msgspec types: what is served is what is described."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, get_args, get_origin

import msgspec

from tongbao import __version__
from tongbao.web.door import Route
from tongbao.web.problems import TITLES, Problem
from tongbao.web.routes import ROUTES
from tongbao.web.shown import StatusView

REF = "#/components/schemas/{name}"
STREAM = "/v1/payments/{payment_id}/stream"
FURTHER_SUCCESSES: Mapping[str, tuple[int, ...]] = {"/v1/payments/{payment_id}/cancel": (202,)}
SUCCESSES = {200: "Done", 201: "Created", 202: "Accepted, not proven yet", 204: "Done, nothing to say"}
ALWAYS = (401, 503)
BODY_PROBLEMS = (400, 409, 413, 422)
ORDER: dict[str, Any] = {"order_no": "ORDER_1", "amount": 9999, "currency": "CNY", "subject": "A course"}
EXAMPLES: Mapping[str, dict[str, Any]] = {
    "CreatePayment": {**ORDER, "return_url": "https://shop.example/return"},
    "CreateAttempt": {"method": "alipay_qr"},
    "CreateRefund": {"refund_no": "REFUND_1", "amount": 100, "reason": "one chapter was missing"},
    "CreateWebhookEndpoint": {"url": "https://shop.example/hook"},
}
"""Bodies that work when they are sent; a test decodes each with its type."""
QUERIES: Mapping[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 10},
    "refresh": {"type": "boolean"},
    "created_after": {"type": "string", "format": "date-time"},
    "created_before": {"type": "string", "format": "date-time"},
}
DESCRIPTION = (
    "One API for every channel. Amounts are integers in minor units, times are RFC 3339 UTC, errors are "
    "application/problem+json with a stable `code` (/docs/errors). Any POST takes an `Idempotency-Key`."
)


@cache
def document() -> dict[str, Any]:
    """The whole document; the same for every caller."""
    given = [_item(route.gives) for route in ROUTES if route.gives is not None]
    taken = [route.takes for route in ROUTES if route.takes is not None]
    types = list(dict.fromkeys([*taken, *given, Problem, StatusView]))
    _, schemas = msgspec.json.schema_components(types, ref_template=REF)
    for name, example in EXAMPLES.items():
        if name in schemas:
            schemas[name]["examples"] = [example]
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    paths[STREAM] = {"get": _stream()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tongbao", "version": __version__, "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key: sk_test_... or sk_live_..."}
            },
            "responses": {f"Problem{status}": _problem(title) for status, title in TITLES.items()},
            "headers": {
                "Request-Id": {"schema": {"type": "string"}, "description": "Tell it when you ask about a call"}
            },
        },
    }


def tag_of(path: str) -> str:
    """`/v1/payments/{payment_id}/refunds` -> `payments`."""
    return path.split("/")[2]


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "tags": [tag_of(route.path)],
        "parameters": [*_path_parameters(route.path), *_query_parameters(route)],
        "responses": {**_successes(route), **_failures(route)},
    }
    if route.method == "POST":
        operation["parameters"].append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
                "description": "The same key and body again: the first answer again",
            }
        )
    if route.takes is not None:
        operation["requestBody"] = {
            "required": bool(_required(route.takes)),
            "content": {"application/json": {"schema": _ref(route.takes)}},
        }
    return operation


def _operation_id(route: Route) -> str:
    """The handler's name; where one handler serves two verbs, the second carries its verb."""
    name: str = route.handler.__name__
    first = next(other for other in ROUTES if other.handler is route.handler)
    return name if first is route else f"{name}_{route.method.lower()}"


def _path_parameters(path: str) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"\{(\w+)\}", path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameters(route: Route) -> Iterator[dict[str, Any]]:
    for name in route.queries:
        yield {"name": name, "in": "query", "schema": QUERIES.get(name, {"type": "string"})}
    for name, words in route.choices.items():
        yield {"name": name, "in": "query", "schema": {"enum": list(words)}}


def _successes(route: Route) -> dict[str, Any]:
    statuses = [route.status, *FURTHER_SUCCESSES.get(route.path, ())]
    if route.status == 201 and route.keeps:
        statuses.insert(0, 200)
    return {str(status): _success(status, route.gives) for status in statuses}


def _success(status: int, gives: Any) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": SUCCESSES[status],
        "headers": {"Request-Id": {"$ref": "#/components/headers/Request-Id"}},
    }
    if gives is not None:
        answer["content"] = {"application/json": {"schema": _answer_schema(gives)}}
    return answer


def _answer_schema(gives: Any) -> dict[str, Any]:
    if get_origin(gives) is not list:
        return _ref(gives)
    return {
        "type": "object",
        "required": ["object", "data", "has_more"],
        "properties": {
            "object": {"const": "list"},
            "data": {"type": "array", "items": _ref(_item(gives))},
            "has_more": {"type": "boolean"},
        },
    }


def _failures(route: Route) -> dict[str, Any]:
    statuses = {*ALWAYS}
    if route.method != "GET":
        statuses.update(BODY_PROBLEMS)
    if route.queries:
        statuses.update((400, 422))
    if "{" in route.path:
        statuses.add(404)
    if "refresh" in route.queries or route.path.endswith("/attempts"):
        statuses.add(424)
    named = {str(status): {"$ref": f"#/components/responses/Problem{status}"} for status in sorted(statuses)}
    return {**named, "default": {"$ref": "#/components/responses/Problem500"}}


def _problem(title: str) -> dict[str, Any]:
    return {"description": title, "content": {"application/problem+json": {"schema": _ref(Problem)}}}


def _stream() -> dict[str, Any]:
    return {
        "operationId": "stream_payment",
        "summary": "Server-sent events for the buyer's page: each change of the status (`event: status`)",
        "tags": ["payments"],
        "security": [],
        "parameters": [
            *_path_parameters(STREAM),
            {
                "name": "cs",
                "in": "query",
                "required": True,
                "schema": {"type": "string"},
                "description": "The token in the payment's checkout_url",
            },
            {
                "name": "Last-Event-ID",
                "in": "header",
                "schema": {"type": "string"},
                "description": "Where to resume; browsers send it by themselves",
            },
        ],
        "responses": {
            "200": {"description": "Events", "content": {"text/event-stream": {"schema": _ref(StatusView)}}},
            "204": {"description": "The end was seen already: do not come back"},
            "404": {"$ref": "#/components/responses/Problem404"},
            "default": {"$ref": "#/components/responses/Problem500"},
        },
    }


def _item(gives: Any) -> Any:
    return get_args(gives)[0] if get_origin(gives) is list else gives


def _ref(kind: type) -> dict[str, str]:
    return {"$ref": REF.format(name=kind.__name__)}


def _required(kind: type) -> list[str]:
    return [field.name for field in msgspec.structs.fields(kind) if field.required]
