"""Addresses of the console's lists, filtered as their own filters do."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.timezone import localtime


def listed(name: str, **parameters: Any) -> str:
    """The list of a model, `app_model`. A parameter that is empty is left out."""
    wanted = {key: value for key, value in parameters.items() if value not in ("", None)}
    query = f"?{urlencode(wanted)}" if wanted else ""
    return reverse(f"admin:{name}_changelist") + query


def received(bound: str, moment: datetime | None) -> dict[str, str]:
    """Of the audit log: received `from` a moment on, or `to` it."""
    if moment is None:
        return {}
    local = localtime(moment)
    return {
        f"received_at_{bound}_0": f"{local:%Y-%m-%d}",
        f"received_at_{bound}_1": f"{local:%H:%M:%S}",
    }
