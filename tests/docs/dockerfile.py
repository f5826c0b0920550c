"""Checks Dockerfile blocks with hadolint, without Docker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_HADOLINT = Path(sys.executable).parent / "hadolint"


class WrongDockerfile(Exception):
    """The Dockerfile has flaws; the message is hadolint's output."""


def check(text: str) -> None:
    """Check a Dockerfile's text. Raises WrongDockerfile."""
    done = subprocess.run([_HADOLINT, "-"], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WrongDockerfile(done.stdout + done.stderr)
