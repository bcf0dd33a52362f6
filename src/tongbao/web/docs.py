"""`/docs`: the API's reference as pages, printed from the OpenAPI document; `/docs/errors` from the documents' own
table of codes; `/openapi.json`. Nothing on them comes from elsewhere."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tongbao.bootstrap import App
from tongbao.web import openapi, pages

ERRORS = Path(__file__).parent / "errors.md"
"""The table in docs/, of which there is one: a test proves it complete."""
DAY = {"cache-control": "public, max-age=300"}


@dataclass(frozen=True, slots=True)
class Field:
    """One row of a table of fields."""

    name: str
    kind: str
    required: bool
    description: str = ""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call as the page shows it."""

    anchor: str
    method: str
    path: str
    short: str
    summary: str
    parameters: list[Field]
    body: list[Field]
    example: str
    answers: list[tuple[str, str, str]]


@dataclass(slots=True)
class Section:
    """`## title` of the errors' page: what stands before the table, and its rows."""

    title: str
    intro: list[str] = field(default_factory=list)
    rows: list[tuple[str, Markup, Markup]] = field(default_factory=list)


def routes(services: App) -> list[Route]:
    """The reference and its machine-readable twin."""
    shown = pages.Pages()
    base_url = services.settings.public_url

    async def reference(_: Request) -> Response:
        return shown.page("docs/reference.html", head=_head(), groups=groups(base_url), objects=objects())

    async def errors(_: Request) -> Response:
        return shown.page("docs/errors.html", head=_head(), intro=error_sections()[0].intro, sections=error_sections())

    async def specification(_: Request) -> Response:
        body = json.dumps(openapi.document(), ensure_ascii=False, separators=(",", ":"))
        return Response(body, headers={**DAY, "access-control-allow-origin": "*"}, media_type="application/json")

    return [
        Route("/docs", reference, methods=["GET"]),
        Route("/docs/errors", errors, methods=["GET"]),
        Route("/openapi.json", specification, methods=["GET"]),
    ]


def _head() -> Mapping[str, str]:
    return pages.headers() | DAY


# --- the reference


def groups(base_url: str) -> dict[str, list[Operation]]:
    """Calls by what they are about, in the order of the routes."""
    found: dict[str, list[Operation]] = {}
    for path, verbs in openapi.document()["paths"].items():
        for verb, operation in verbs.items():
            shown = _operation(base_url, path, verb.upper(), operation)
            found.setdefault(openapi.tag_of(path), []).append(shown)
    return found


def objects() -> dict[str, tuple[str, list[Field]]]:
    """What answers are made of: name -> (sentence, fields)."""
    taken = {_ref_name(body) for body in _bodies()}
    schemas = openapi.document()["components"]["schemas"]
    return {
        name: (schema.get("description", ""), fields_of(name))
        for name, schema in schemas.items()
        if name not in taken and schema.get("properties")
    }


def _bodies() -> Iterator[dict[str, Any]]:
    for verbs in openapi.document()["paths"].values():
        for operation in verbs.values():
            if "requestBody" in operation:
                yield operation["requestBody"]["content"]["application/json"]["schema"]


def _operation(base_url: str, path: str, method: str, operation: Mapping[str, Any]) -> Operation:
    parameters = [
        Field(p["name"], f"{p['in']}, {kind_of(p['schema'])}", p.get("required", False), p.get("description", ""))
        for p in operation["parameters"]
    ]
    body = ""
    if "requestBody" in operation:
        body = _ref_name(operation["requestBody"]["content"]["application/json"]["schema"])
    return Operation(
        anchor=operation["operationId"],
        method=method,
        path=path,
        short=re.sub(r"\{\w+\}", "{id}", path.removeprefix("/v1")),
        summary=operation["summary"],
        parameters=parameters,
        body=fields_of(body) if body else [],
        example=_curl(base_url, method, path, openapi.EXAMPLES.get(body)),
        answers=list(_answers(operation["responses"])),
    )


def _curl(base_url: str, method: str, path: str, example: Mapping[str, Any] | None) -> str:
    if path.endswith("/stream"):
        return f'curl -N "{base_url}{path}?cs=$CS"'
    parts = ["curl", f'"{base_url}{path}"', '-H "Authorization: Bearer $KEY"']
    if example is not None:
        parts += ['-H "Content-Type: application/json"', f"-d '{json.dumps(example, ensure_ascii=False)}'"]
    elif method not in ("GET", "POST"):
        parts.insert(1, f"-X {method}")
    elif method == "POST":
        parts.append("-d '{}'")
    return " \\\n  ".join([" ".join(parts[:2]), *parts[2:]])


def _answers(responses: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(status, sentence, object) of each answer that is no error."""
    for status, answer in responses.items():
        if not status.startswith("2"):
            continue
        content: Mapping[str, Any] = next(iter(answer.get("content", {}).values()), {})
        schema = content.get("schema", {})
        items = schema.get("properties", {}).get("data", {}).get("items")
        yield status, answer["description"], _ref_name(items or schema)


def _ref_name(schema: Mapping[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def fields_of(name: str) -> list[Field]:
    """The fields of a component."""
    schema = openapi.document()["components"]["schemas"][name]
    required = set(schema.get("required", ()))
    return [
        Field(key, kind_of(value), key in required, value.get("description", ""))
        for key, value in schema.get("properties", {}).items()
    ]


def kind_of(schema: Mapping[str, Any]) -> str:
    """A schema in a few words: `string, 1-64 characters, or null`."""
    if "$ref" in schema:
        return _ref_name(schema)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind_of(part) for part in schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(f"{value}" for value in schema["enum"])
    if "const" in schema:
        return f"{schema['const']}"
    if schema.get("type") == "array":
        return f"list of {kind_of(schema.get('items', {}))}"
    words = [str(schema.get("format") or schema.get("type", "anything"))]
    bounds = _bounds(schema, "minLength", "maxLength"), _bounds(schema, "minimum", "maximum")
    words += [f"{bound} characters" for bound in bounds[:1] if bound] + [bound for bound in bounds[1:] if bound]
    return ", ".join(words)


def _bounds(schema: Mapping[str, Any], least: str, most: str) -> str:
    low, high = schema.get(least), schema.get(most)
    if high is None:
        return "" if low is None else f"at least {low:,}"
    return f"at most {high:,}" if low is None else f"{low:,}-{high:,}"


# --- errors


@cache
def error_sections() -> list[Section]:
    """The sections of the errors' page; the first one is what stands before them all."""
    sections = [Section("Errors")]
    for line in ERRORS.read_text("utf-8").splitlines():
        row = re.fullmatch(r"\| `(\w+)` \| (.+) \| (.+) \|", line)
        if line.startswith("## "):
            sections.append(Section(line[3:]))
        elif row is not None:
            sections[-1].rows.append((row[1], _inline(row[2]), _inline(row[3])))
        elif line and not line.startswith(("#", "|")):
            sections[-1].intro.append(_inline(line))
    return sections


def _inline(text: str) -> Markup:
    """A line of Markdown that knows only `code`."""
    return pages.markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text)))
