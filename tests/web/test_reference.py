"""What the reference says is what the door does: the same routes, types that decode, every error with its place."""

import re
from typing import Any

import msgspec
import pytest

from tests.scenarios.street import GATEWAY
from tests.test_docs import DOCS
from tests.web.conftest import Api
from tongbao.transport import Request
from tongbao.web import docs, openapi, schemas
from tongbao.web.routes import ROUTES


async def read(api: Api, path: str) -> Any:
    reply = await api.transport.send(Request("GET", f"http://{GATEWAY}{path}"))
    assert reply.status == 200
    return reply


async def test_the_document_lists_every_route_and_none_besides(api: Api) -> None:
    reply = await read(api, "/openapi.json")
    assert reply.headers["content-type"].startswith("application/json")
    document = msgspec.json.decode(reply.body)
    listed = {(verb.upper(), path) for path, verbs in document["paths"].items() for verb in verbs}
    assert listed == {(route.method, route.path) for route in ROUTES} | {("GET", openapi.STREAM)}
    assert document["openapi"] == "3.1.0"
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    names = [operation["operationId"] for verbs in document["paths"].values() for operation in verbs.values()]
    assert len(names) == len(set(names))


def test_every_reference_leads_somewhere() -> None:
    text = msgspec.json.encode(openapi.document()).decode()
    for pointer in set(re.findall(r'"\$ref":"#/([^"]+)"', text)):
        found: Any = openapi.document()
        for part in pointer.split("/"):
            found = found[part]


@pytest.mark.parametrize("name", openapi.EXAMPLES)
def test_each_example_is_a_body_that_is_taken(name: str) -> None:
    msgspec.convert(openapi.EXAMPLES[name], getattr(schemas, name))


def test_every_call_can_fail_as_a_problem() -> None:
    for path, verbs in openapi.document()["paths"].items():
        for verb, operation in verbs.items():
            answers = operation["responses"]
            assert "default" in answers, (verb, path)
            if path != openapi.STREAM:
                assert answers["401"] == {"$ref": "#/components/responses/Problem401"}


async def test_the_pages_are_whole_and_load_nothing_from_elsewhere(api: Api) -> None:
    for path in ("/docs", "/docs/errors"):
        reply = await read(api, path)
        html = reply.body.decode()
        assert not re.search(r'(?:src|<link[^>]* href)="(?!/static/)', html), "no asset from elsewhere"
        targets = set(re.findall(r'href="#([^"]+)"', html))
        assert targets <= set(re.findall(r'id="([^"]+)"', html))
    html = (await read(api, "/docs")).body.decode()
    for route in ROUTES:
        assert f"<code>{route.path}</code>" in html


async def test_every_error_code_has_its_place(api: Api) -> None:
    html = (await read(api, "/docs/errors")).body.decode()
    codes = re.findall(r"^\| `(\w+)` \|", (DOCS / "errors.md").read_text("utf-8"), re.MULTILINE)
    assert codes
    assert set(codes) <= set(re.findall(r'<tr id="(\w+)"', html))
    _, problem = await api.call("GET", "/v1/payments/pay_0")
    assert problem["type"].startswith("/docs/errors#")
    assert problem["type"].partition("#")[2] in codes


def test_a_schema_in_a_few_words() -> None:
    assert docs.kind_of({"type": "integer", "minimum": 1, "maximum": 9999}) == "integer, 1-9,999"
    assert docs.kind_of({"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}]}) == (
        "string, at most 5 characters or null"
    )
    assert docs.kind_of({"type": "array", "items": {"$ref": "#/components/schemas/Buyer"}}) == "list of Buyer"
    assert docs.kind_of({"enum": ["a", "b"]}) == "a | b"
