"""What a process runs, for Prometheus: of an upgrade, whose processes have been replaced."""

from __future__ import annotations

import platform
from collections.abc import Iterator

import django
from prometheus_client.metrics_core import GaugeMetricFamily

from cdcproject.version import __version__

NAME = "cdc_build_info"
LABELS = ("version", "python", "django")


class BuildInfo:
    """Collects it: 1, with the versions as labels."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(NAME, "1; its labels are the versions.", labels=LABELS)
        family.add_metric((__version__, platform.python_version(), django.get_version()), 1)
        yield family
