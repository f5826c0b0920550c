"""ETags: 304 for a repeated read without changes, 412 for a write to a row that has changed.

The ETag of a response is a digest of its content. For a row of settings it has two parts, the
digest of the settings and that of the content. A write compares only the first, so that a moving
position is no conflict.

PreconditionFailed   read the row again, and repeat the change
"""

from __future__ import annotations

import hashlib
import json
from functools import partial
from http import HTTPStatus
from typing import Any

from django.db.models import Model
from django.http import HttpResponse, HttpResponseNotModified
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.http import parse_etags
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.response import Response

READ = ("GET", "HEAD")


class PreconditionFailed(APIException):
    status_code = HTTPStatus.PRECONDITION_FAILED
    default_detail = "The row has changed since you read it. Your change was not saved."
    default_code = "precondition_failed"


def revision(row: Model) -> str:
    """Return the digest of a row's settings."""
    fields = [field for field in row._meta.concrete_fields if field.editable or field.primary_key]
    stamp = getattr(row, "updated_at", None)
    values = [stamp.isoformat()] if stamp else [f.value_from_object(row) for f in fields]
    text = json.dumps([row.pk, *values], default=str, sort_keys=True)
    return _digest(text.encode())


def check_unchanged(request: Request, row: Model) -> None:
    """Compare a row with the If-Match header. Raises PreconditionFailed.

    Inside the caller's transaction, which has locked the row.
    """
    header = request.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return
    # A proxy that compresses responses marks ETags as weak, without changing the compared part.
    read = {tag.removeprefix("W/").strip('"').partition("-")[0] for tag in parse_etags(header)}
    if revision(row) not in read:
        raise PreconditionFailed


def tag(request: Request, part: str, response: Response) -> HttpResponse | None:
    """Set the ETag of a rendered response; return a 304 response to send instead, or None."""
    digest = _digest(response.content)
    response.headers["ETag"] = f'"{part}-{digest}"' if part else f'"{digest}"'
    patch_cache_control(response, private=True, no_cache=True)
    patch_vary_headers(response, ("Authorization", "Cookie"))
    known = {
        etag.removeprefix("W/") for etag in parse_etags(request.headers.get("If-None-Match", ""))
    }
    if request.method not in READ or not known & {"*", response.headers["ETag"]}:
        return None
    not_modified = HttpResponseNotModified()
    for name in ("ETag", "Cache-Control", "Vary"):
        not_modified.headers[name] = response.headers[name]
    return not_modified


class Tagged:
    """A view whose responses have ETags."""

    #: The revision of the row in the response; empty: no row of settings.
    revision = ""

    def finalize_response(
        self, request: Request, response: Any, *args: Any, **kwargs: Any
    ) -> Response:
        parent: Any = super()
        done: Response = parent.finalize_response(request, response, *args, **kwargs)
        is_tagged = request.method in READ or self.revision
        if is_tagged and done.status_code in (HTTPStatus.OK, HTTPStatus.CREATED):
            done.add_post_render_callback(partial(tag, request, self.revision))
        return done


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
