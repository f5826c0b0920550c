"""Each metric of the product is on a page."""

from prometheus_client import REGISTRY

import consumer.metrics
from tests.docs.examples import DOCS


def test_each_metric_is_on_a_page():
    assert consumer.metrics.OPENED
    text = "\n".join(page.read_text() for page in DOCS.glob("*.md"))
    metrics = [one for one in REGISTRY.collect() if one.name.startswith("cdc_")]

    assert len(metrics) > 3
    for one in metrics:
        name = f"{one.name}_total" if one.type == "counter" else one.name
        assert f"`{name}`" in text, name
