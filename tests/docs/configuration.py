"""Checks YAML blocks: loads them as `apply_cdc_config` does, without changing anything."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from consumer.configuration.apply import apply_file

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_OURS = {"connections", "destinations", "listeners", "handlers", "mirrors"}
_BROKER = "rediss://localhost:6379/0"
_CONNECTION = {
    "auth": "client_credentials",
    "base_url": "https://example.my.salesforce.com",
    "client_id": "x",
    "client_secret": "x",
}


def load(text: str) -> None:
    """Load a whole file or a part of one: `listeners` without their connection, `handlers` or
    `mirrors` without their listener, or `destinations`. Other YAML is only parsed.

    Raises ConfigurationRefused.
    """
    yaml = YAML(typ="safe", pure=True)
    tree = yaml.load(text)
    if not isinstance(tree, dict) or not tree.keys() <= _OURS:
        return
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for name in _VARIABLE.findall(text):
            patch.setenv(name, _BROKER if name.endswith("_BROKER_URL") else "x")
        file = Path(folder) / "cdc.yaml"
        if "connections" in tree:
            file.write_text(text)
        else:
            yaml.dump(_whole(tree), file)
        apply_file(str(file), dry_run=True, allow_unknown_handlers=True)


def _whole(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the part completed to a whole file."""
    listeners = tree.get("listeners") or [{"name": "listener", "connection": "prod"}]
    if "handlers" in tree:
        listeners[0]["handlers"] = tree["handlers"]
    # The reader's further databases are not here.
    mirrors = [{**one, "database": "default"} for one in tree.get("mirrors", [])]
    known = {one.get("name") for one in listeners}
    listeners += [
        {"name": name, "connection": "prod"}
        for name in dict.fromkeys(one["listener"] for one in mirrors)
        if name not in known
    ]
    names = dict.fromkeys(one["connection"] for one in listeners)
    destinations = tree.get("destinations", [])
    known = {one["name"] for one in destinations}
    used = {one.get("destination") for each in listeners for one in each.get("handlers", [])}
    destinations += [
        {"name": name, "broker": _BROKER} for name in sorted(filter(None, used - known))
    ]
    return {
        "destinations": destinations,
        "connections": [{"name": name, **_CONNECTION} for name in names],
        "listeners": listeners,
        "mirrors": mirrors,
    }
