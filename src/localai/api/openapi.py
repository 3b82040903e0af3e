"""The OpenAPI description of the rows, and a page for people made of the same: no script, nothing from elsewhere."""

import html
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from localai.api.dialect import Dialect, spoken

if TYPE_CHECKING:
    from localai.api.table import Row

_PARAMETER = re.compile(r"{([a-zA-Z_]\w*)(:[a-z]+)?}")
_REF = "#/components/schemas/{model}"
_ALSO = (
    "A path under /v1 is served without /v1 too. One whose body names a model can name it in the path instead: "
    "/v1/models/MODEL/chat/completions, /v1/engines/MODEL/... and /openai/deployments/MODEL/...; the path wins."
)
_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        }
    },
}
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "param": {"type": "string"},
        "retry_after": {"type": "number"},
        "request_id": {"type": "string"},
    },
}
_MESSAGES_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["type", "error"],
    "properties": {
        "type": {"const": "error"},
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
        },
        "request_id": {"type": "string"},
    },
}
_PLAIN_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}},
}
_ERRORS = {"Error": _ERROR, "Problem": _PROBLEM, "MessagesError": _MESSAGES_ERROR, "PlainError": _PLAIN_ERROR}
_FAILURES: dict[Dialect, str] = {
    "openai": "Error",
    "problem": "Problem",
    "anthropic": "MessagesError",
    "ollama": "PlainError",
}
"""The error that each dialect's routes answer (without a header that asks for another)."""


def describe(rows: Sequence["Row"], version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of all rows that are listed."""
    listed = [row for row in rows if row.listed]
    bodies = {row.body for row in listed if row.body is not None}
    keys, schemas = models_json_schema([(body, "validation") for body in bodies], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for row in listed:
        body = None if row.body is None else keys[row.body, "validation"]
        paths.setdefault(template(row.path), {})[row.method.lower()] = _operation(row, body)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "LocalAI",
            "version": version,
            "description": f"Local models behind the APIs of cloud AI. {_ALSO}",
        },
        "security": [{"key": []}, {"header": []}],
        "paths": paths,
        "components": {
            "schemas": {**schemas.get("$defs", {}), **_ERRORS},
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def template(path: str) -> str:
    """A row's path as OpenAPI writes it: `{name:path}` becomes `{name}`."""
    return _PARAMETER.sub(r"{\1}", path)


def _operation(row: "Row", body: dict[str, Any] | None) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _identifier(row),
        "summary": row.summary,
        "tags": [row.tag] if row.tag else [],
        "x-scope": row.scope,
        "responses": {str(row.status): _answer(row), "default": _failure(row.path)},
    }
    names = [match[1] for match in _PARAMETER.finditer(row.path)]
    if names:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    if row.scope == "public":
        operation["security"] = []
    return operation


def _answer(row: "Row") -> dict[str, Any]:
    if row.status == 204:
        return {"description": "Done."}
    kinds = list(row.media)
    if row.body is not None and "stream" in row.body.model_fields:
        kinds.append("application/x-ndjson" if spoken({"path": row.path}) == "ollama" else "text/event-stream")
    schemas = {kind: (row.answer or {}) if kind == "application/json" else {} for kind in kinds}
    return {"description": "Done.", "content": {kind: {"schema": schema} for kind, schema in schemas.items()}}


def _failure(path: str) -> dict[str, Any]:
    dialect = spoken({"path": path})
    kind = "application/problem+json" if dialect == "problem" else "application/json"
    schema = {"$ref": _REF.format(model=_FAILURES[dialect])}
    return {"description": "What went wrong.", "content": {kind: {"schema": schema}}}


def _identifier(row: "Row") -> str:
    return row.method.lower() + re.sub(r"[^a-zA-Z0-9]+", "_", row.path).rstrip("_")


def page(rows: Sequence["Row"], version: str, prefix: str = "") -> str:
    """The listed rows as a table in HTML; `prefix` is the path under which a proxy offers them."""
    listed = sorted((row for row in rows if row.listed), key=lambda row: (row.tag, row.path, row.method))
    lines = "".join(
        f"<tr><td>{row.method}</td><td><code>{html.escape(prefix + template(row.path))}</code></td>"
        f"<td>{html.escape(row.summary)}</td><td>{row.scope}</td></tr>"
        for row in listed
    )
    link = html.escape(f"{prefix}/openapi.json")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>LocalAI API</title>'
        "<style>body{font:16px system-ui;margin:2rem}td{padding:.2rem .8rem .2rem 0}</style>"
        f"<h1>LocalAI {html.escape(version)}</h1>"
        "<p>The full description, with the schemas of all bodies, is at "
        f'<a href="{link}">{link}</a>. {html.escape(_ALSO)}</p><table>{lines}</table></html>'
    )
