"""ETags: who asks again learns with 304 that nothing has changed, and who changes a row that
somebody else has changed since learns that with 412.

An answer's ETag is a digest of what it says. That of a row of settings has two parts: the settings,
and all that the answer says. A change looks at the first alone, so that a position that moves on is
no conflict.

PreconditionFailed   read the row again, and decide anew
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
    default_detail = "It was changed since you read it; nothing was changed now."
    default_code = "precondition_failed"


def revision(row: Model) -> str:
    """Of what an operator sets: another one after each change."""
    fields = [field for field in row._meta.concrete_fields if field.editable or field.primary_key]
    stamp = getattr(row, "updated_at", None)
    values = [stamp.isoformat()] if stamp else [f.value_from_object(row) for f in fields]
    text = json.dumps([row.pk, *values], default=str, sort_keys=True)
    return _digest(text.encode())


def check_unchanged(request: Request, row: Model) -> None:
    """Inside the caller's transaction, which holds the row. Raises PreconditionFailed."""
    asked = request.headers.get("If-Match")
    if asked is None or asked.strip() == "*":
        return
    # A proxy that compresses answers marks ETags as weak; the part that counts is the same.
    read = {tag.removeprefix("W/").strip('"').partition("-")[0] for tag in parse_etags(asked)}
    if revision(row) not in read:
        raise PreconditionFailed


def tag(request: Request, part: str, response: Response) -> HttpResponse | None:
    """A callback of a rendered answer: the answer to give in its place, if there is one."""
    digest = _digest(response.content)
    response.headers["ETag"] = f'"{part}-{digest}"' if part else f'"{digest}"'
    patch_cache_control(response, private=True, no_cache=True)
    patch_vary_headers(response, ("Authorization", "Cookie"))
    known = {
        one.removeprefix("W/") for one in parse_etags(request.headers.get("If-None-Match", ""))
    }
    if request.method not in READ or not known & {"*", response.headers["ETag"]}:
        return None
    same = HttpResponseNotModified()
    for name in ("ETag", "Cache-Control", "Vary"):
        same.headers[name] = response.headers[name]
    return same


class Tagged:
    """A view whose answers have ETags."""

    #: Of the row that was answered; empty: of no settings.
    revision = ""

    def finalize_response(
        self, request: Request, response: Any, *args: Any, **kwargs: Any
    ) -> Response:
        parent: Any = super()
        done: Response = parent.finalize_response(request, response, *args, **kwargs)
        answers = request.method in READ or self.revision
        if answers and done.status_code in (HTTPStatus.OK, HTTPStatus.CREATED):
            done.add_post_render_callback(partial(tag, request, self.revision))
        return done


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
