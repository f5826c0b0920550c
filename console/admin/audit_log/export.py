"""Exports the filtered audit log as a file, streamed so that memory use stays constant."""

from __future__ import annotations

from collections.abc import Generator, Iterable

from django.http import Http404, HttpRequest, StreamingHttpResponse
from django.utils import timezone

from audit.action_log import Actor
from audit.log.masking import Sight
from console.admin.keyset_list import AFTER, BEFORE, KeysetChangeList
from handlers.reporting.export import (
    Watched,
    begin,
    counting,
    csv_lines,
    exported_entry,
    json_lines,
    reveals,
    with_deliveries,
)

_FORMATS = {
    "csv": (csv_lines, "text/csv; charset=utf-8"),
    "jsonl": (json_lines, "application/jsonl; charset=utf-8"),
}
_PIECE = 64 * 1024


def export(
    request: HttpRequest, changes: KeysetChangeList, form: str, see: Sight
) -> StreamingHttpResponse:
    """Stream all matching entries in the list's order, masked for the user.

    No transaction stays open while the response is sent.
    """
    if form not in _FORMATS:
        raise Http404
    lines, content_type = _FORMATS[form]
    entries = changes.rows(lambda rows: with_deliveries(rows.prefetch_related(None)))
    rows = (exported_entry(entry, see) for entry in entries)
    filters = {name: value for name, value in request.GET.items() if name not in (BEFORE, AFTER)}
    by = Actor.in_console(request)
    running = begin(by, form, filters, changes.queryset, reveals=reveals(see))
    pieces = Watched(_pieces(lines(counting(rows, running))), running)
    response = StreamingHttpResponse(pieces, content_type=content_type)
    name = f"audit-log-{timezone.now():%Y%m%d-%H%M%S}.{form}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _pieces(lines: Iterable[str]) -> Generator[str]:
    """Join lines into pieces, to save writes to the network."""
    piece: list[str] = []
    size = 0
    for line in lines:
        piece.append(line)
        size += len(line)
        if size >= _PIECE:
            yield "".join(piece)
            piece, size = [], 0
    yield "".join(piece)
