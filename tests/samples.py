"""Payloads of real orgs, read in place: they are not part of this repository."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "salesforce" / "samples"


def samples_folder() -> Path:
    """Return the folder of the samples. Without it the test is skipped, or fails where CI=true."""
    folder = Path(os.environ.get("CDC_SAMPLES_DIR") or BESIDE)
    if not (folder / "cometd").is_dir():
        reason = f"no Salesforce samples in {folder}; point CDC_SAMPLES_DIR at them"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


def sample(name: str) -> Any:
    """Return a CometD sample, such as gap_update_v224.json."""
    return json.loads((samples_folder() / "cometd" / name).read_text(encoding="utf-8"))
