"""Add problems and ETags to the generated OpenAPI schema."""

from __future__ import annotations

from typing import Any

_PROBLEM = {
    "type": "object",
    "description": "An error (RFC 9457).",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "The errors of an invalid request; otherwise empty.",
            "items": {
                "type": "object",
                "properties": {
                    "field": {
                        "type": "string",
                        "description": "The path of the field, such as proxy_config.host. Empty: "
                        "the request as a whole.",
                    },
                    "message": {"type": "string"},
                },
                "required": ["field", "message"],
            },
        },
    },
    "required": ["type", "title", "status", "detail", "errors"],
}

_ANSWER = {
    "description": "A problem.",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def add_problems(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add the problem response to every operation, as a hook of drf-spectacular."""
    result["components"]["schemas"]["Problem"] = _PROBLEM
    for path in result["paths"].values():
        for operation in path.values():
            operation["responses"]["default"] = _ANSWER
    return result


_ETAG = {"ETag": {"description": "The ETag of this response.", "schema": {"type": "string"}}}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The ETag of an earlier response: 304 if nothing has changed since.",
    "schema": {"type": "string"},
}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "The ETag with which the row was read: 412, without any change, if its settings "
    "have changed since. Changes of its state, such as the position, are ignored.",
    "schema": {"type": "string"},
}
_CHANGES = ("put", "patch", "delete")


def add_etags(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add ETag headers to the operations, as a hook of drf-spectacular."""
    for path in result["paths"].values():
        for method, operation in path.items():
            if method == "get":
                operation.setdefault("parameters", []).append(_IF_NONE_MATCH)
                operation["responses"]["200"]["headers"] = _ETAG
                operation["responses"]["304"] = {"description": "Nothing has changed."}
            elif method in _CHANGES:
                operation.setdefault("parameters", []).append(_IF_MATCH)
    return result
