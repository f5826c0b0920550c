"""REST reads of a listener's org, as `handlers.rest` makes them."""

from __future__ import annotations

from handlers.rest import CANNOT_READ, rest_of

__all__ = ["CANNOT_READ", "rest_of"]
