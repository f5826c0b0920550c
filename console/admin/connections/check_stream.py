"""Findings on their way to a page of the console, each as soon as it is there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from django.forms import BaseForm
from django.http import StreamingHttpResponse

from consumer.diagnostics.findings import Finding

#: What the form of a connection says of typed secrets, which the page still has after a test.
_ENTER_AGAIN = "Enter it once more"


def answer(findings: Iterable[Finding]) -> StreamingHttpResponse:
    """JSON Lines: `{"text", "failed", "step"}`, and `{"end": true, "works"}` as the last."""
    return StreamingHttpResponse(
        _lines(findings),
        content_type="application/x-ndjson",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def _lines(findings: Iterable[Finding]) -> Iterator[str]:
    works = True
    for finding in findings:
        works = works and not finding.is_failure
        line = {"text": finding.text, "failed": finding.is_failure, "step": finding.step}
        yield f"{json.dumps(line)}\n"
    yield f"{json.dumps({'end': True, 'works': works})}\n"


def flaws(form: BaseForm, *, besides: Iterable[str] = ()) -> list[Finding]:
    """Why a form cannot be tried; `besides`: fields that do not matter for that."""
    return [
        Finding(f"{_label(form, name)}{text}", is_failure=True)
        for name, texts in form.errors.items()
        if name not in besides
        for text in map(str, texts)
        if not text.startswith(_ENTER_AGAIN)
    ]


def _label(form: Any, name: str) -> str:
    if name not in form.fields:
        return ""
    return f"{form[name].label}: "
