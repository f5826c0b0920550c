"""The metrics of a process, as Prometheus scrapes them."""

from __future__ import annotations

import requests
from prometheus_client.parser import text_string_to_metric_families


class Scraped:
    def __init__(self, text: str) -> None:
        self.text = text
        families = list(text_string_to_metric_families(text))
        assert len({family.name for family in families}) == len(families), text
        self._samples = [sample for family in families for sample in family.samples]

    def total(self, name: str, **labels: str) -> float | None:
        """Return the sum of the samples with these labels, or None if there is none."""
        found = [
            sample.value
            for sample in self._samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(found) if found else None

    def by(self, label: str, name: str, **labels: str) -> dict[str, float]:
        """Return that sum for each value of a label, without those that are 0."""
        values = {s.labels[label] for s in self._samples if s.name == name and label in s.labels}
        totals = {one: self.total(name, **{**labels, label: one}) for one in values}
        return {one: total for one, total in totals.items() if total}


def scrape(port: int) -> Scraped:
    return Scraped(requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text)
