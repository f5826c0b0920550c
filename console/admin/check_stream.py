"""Streams the findings of a connection test to the page, one by one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from django.forms import BaseForm
from django.http import StreamingHttpResponse

from consumer.diagnostics.findings import Finding

#: The form's error about typed secrets; after a test the page still has them.
_ENTER_AGAIN = "Enter it again"


def answer(findings: Iterable[Finding]) -> StreamingHttpResponse:
    """Return JSON Lines: `{"text", "failed", "step"}` each, then `{"end": true, "works"}`."""
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


def flaws(form: BaseForm, *, ignoring: Iterable[str] = ()) -> list[Finding]:
    """Return the errors that keep a form from being tested, except of the fields in `ignoring`."""
    return [
        Finding(labelled(form[name].label, text) if name in form.fields else text, is_failure=True)
        for name, texts in form.errors.items()
        if name not in ignoring
        for text in map(str, texts)
        if not text.startswith(_ENTER_AGAIN)
    ]


def labelled(label: object, text: str) -> str:
    """Return an error of a field with the field's label, which some errors begin with."""
    return text if text.startswith(f"{label} ") else f"{label}: {text}"
