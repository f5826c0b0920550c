"""Helpers that read the API's answers."""

from typing import Any


def problem(response: Any, status: int) -> dict[str, Any]:
    """Return the problem document of an answer that must be one with this status."""
    assert response.status_code == status, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert set(found) == {"type", "title", "status", "detail", "errors"}
    assert found["status"] == status
    return found


def errors(response: Any) -> dict[str, list[str]]:
    """Return the messages of each field in a refused request's answer."""
    found: dict[str, list[str]] = {}
    for error in problem(response, 400)["errors"]:
        assert set(error) == {"field", "message"}
        found.setdefault(error["field"], []).append(error["message"])
    return found
