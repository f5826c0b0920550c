"""What an error page or report may show of a request that failed."""

from __future__ import annotations

import re
from collections.abc import ItemsView
from typing import Any

from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter


class SecretsStayHidden(SafeExceptionReporterFilter):
    """As in production, with DEBUG too: forms here hold passwords and keys, and variables do."""

    hidden_settings = re.compile(
        f"{SafeExceptionReporterFilter.hidden_settings.pattern}|URL|LOCATION|BROKER|DATABASE|WEBHOOK|OTLP",
        re.IGNORECASE,
    )

    def is_active(self, request: HttpRequest | None) -> bool:
        return True

    def get_traceback_frame_variables(
        self, request: HttpRequest | None, tb_frame: Any
    ) -> ItemsView[str, Any]:
        return dict[str, Any]().items()
