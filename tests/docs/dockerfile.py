"""Blocks of a Dockerfile: read by hadolint, which no engine is needed for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_HADOLINT = Path(sys.executable).parent / "hadolint"


class WrongDockerfile(Exception):
    """What hadolint says of it."""


def check(text: str) -> None:
    """Raises WrongDockerfile."""
    done = subprocess.run([_HADOLINT, "-"], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WrongDockerfile(done.stdout + done.stderr)
