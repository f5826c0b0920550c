from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.salesforce.scripted import ScriptedOrg


@pytest.fixture
def org() -> Iterator[ScriptedOrg]:
    with ScriptedOrg() as running:
        yield running


@pytest.fixture
def sample() -> Callable[[str], Any]:
    """Reads a real payload by its file name, in place: they are not part of this repository."""
    beside = Path(__file__).parents[2].parent / "shared" / "salesforce" / "samples"
    folder = Path(os.environ.get("CDC_SAMPLES_DIR") or beside) / "cometd"
    if not folder.is_dir():
        message = f"no Salesforce samples under {folder}; set CDC_SAMPLES_DIR to read them"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return lambda name: json.loads((folder / name).read_text(encoding="utf-8"))
