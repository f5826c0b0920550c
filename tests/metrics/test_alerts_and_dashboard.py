"""Alerts and dashboard use metrics that the code exports, and docs/metrics.md lists all of them."""

import json
import re
import shutil
import subprocess

import pytest
from prometheus_client import REGISTRY
from ruamel.yaml import YAML

from tests.metrics.catalogue import Exported, catalogue, series
from tests.metrics.promql import Mistaken, labels_of
from tests.nursery import ROOT

RULES = ROOT / "deploy/prometheus/rules/alerts.yml"
[DASHBOARD] = (ROOT / "deploy/grafana/dashboards").glob("*.json")
PAGE = (ROOT / "docs/metrics.md").read_text()
HEADINGS = {heading.lower() for heading in re.findall(r"^#+ (\w+)$", PAGE, re.MULTILINE)}


def alerts():
    [group] = YAML(typ="safe", pure=True).load(RULES)["groups"]
    return group["rules"]


def panels():
    return [one for one in json.loads(DASHBOARD.read_text())["panels"] if one["type"] != "row"]


def named_in(template):
    return set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)", template)) - {"value"}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_asks_for_what_there_is_and_says_what_to_do(alert):
    told = alert["annotations"]

    labels = labels_of(alert["expr"], series())

    assert named_in(told["summary"]) <= labels
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert told["description"].endswith(".")
    assert told["runbook"] == f"docs/metrics.md#{alert['alert'].lower()}"
    assert alert["alert"].lower() in HEADINGS


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_asks_for_what_there_is(panel):
    for target in panel["targets"]:
        labels = labels_of(target["expr"], series())

        assert named_in(target["legendFormat"]) <= labels
        assert panel["type"] != "stat" or not labels  # one number


def test_the_dashboard_uses_its_variables_and_shows_every_metric():
    text = DASHBOARD.read_text()
    asked = {name for name in series() if re.search(rf"\b{name}\b", text + RULES.read_text())}
    variables = {one["name"] for one in json.loads(text)["templating"]["list"]}

    assert set(re.findall(r"\$\{?([a-z]\w*)", text)) <= variables
    assert len({panel["id"] for panel in panels()}) == len(panels())
    unseen = {
        name
        for name, one in catalogue().items()
        if name not in asked and not (one.kind == "histogram" and f"{name}_bucket" in asked)
    }
    assert unseen == {
        # Others say the same: the state, and timestamps in place of spans.
        "cdc_listener_receiving",
        "cdc_last_received_timestamp_seconds",
        "cdc_last_event_timestamp_seconds",
        "cdc_lag_seconds",
        # An incident is opened.
        "cdc_messages_quarantined_total",
        "cdc_thread_last_success_seconds",
        "cdc_thread_errors_total",
        }  # fmt: skip


def test_the_catalogue_has_every_metric_that_is_registered():
    ours = [one for one in REGISTRY.collect() if one.name.startswith("cdc_")]
    names = {f"{one.name}_total" if one.type == "counter" else one.name for one in ours}

    assert len(names) > 3
    assert names <= catalogue().keys()


def test_the_page_has_every_metric_and_no_other():
    rows = re.findall(r"^\| `(cdc_\w+)` \| (\w+) \| (.*?) \| .+ \|$", PAGE, re.MULTILINE)
    shown = {name: (kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}

    assert shown == {name: (one.kind, one.labels) for name, one in catalogue().items()}
    assert len(rows) == len(shown)


@pytest.mark.parametrize(
    ("expression", "flaw"),
    [
        ("max(cdc_nothing)", "nothing exports cdc_nothing"),
        ("cdc_asked_total", "cdc_asked_total is a counter, in nothing"),
        ("rate(cdc_size[5m])", "cdc_size is a gauge, in rate"),
        ("sum(cdc_size)", "take its max first"),
        ('max(cdc_size{color="red"})', "no label color"),
        ("sum by (handler) (rate(cdc_asked_total[5m]))", "no label handler"),
        (
            "histogram_quantile(0.9, sum by (listener) (rate(cdc_asked_total[5m])))",
            "no label le",
        ),
        ("max by (listener) (cdc_size) / max(cdc_size) > max by (job) (cdc_size)", "held against"),
        ("max by (listener) (cdc_size) and on (job) max(cdc_size)", "no label job"),
    ],
)
def test_what_is_wrong_is_found(expression, flaw):
    known = {
        "cdc_asked_total": Exported("counter", frozenset({"listener"})),
        "cdc_size": Exported("gauge", frozenset({"listener"}), is_state=True),
    }

    with pytest.raises(Mistaken, match=flaw):
        labels_of(expression, known)


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is in Debian's prometheus")
def test_prometheus_takes_them_and_they_fire_when_they_should():
    tests = ROOT / "tests/metrics/alerts_test.yml"
    for command in (["check", "rules", str(RULES)], ["test", "rules", str(tests)]):
        done = subprocess.run(["promtool", *command], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
