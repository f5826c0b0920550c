"""The versions that a process runs, as a metric: it shows the progress of an upgrade."""

from __future__ import annotations

import platform
from collections.abc import Iterator

import django
from prometheus_client.metrics_core import GaugeMetricFamily

from cdcproject.version import __version__

NAME = "cdc_build_info"
LABELS = ("version", "python", "django")


class BuildInfo:
    """A Prometheus collector of a gauge that is 1, with the versions as labels."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(NAME, "Always 1; the labels are the versions.", labels=LABELS)
        family.add_metric((__version__, platform.python_version(), django.get_version()), 1)
        yield family
