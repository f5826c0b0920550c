"""Virtual environments with a given Celery and nothing of the product, made once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

#: The packages of a project with that Celery. `OWN` is this interpreter with its packages.
OWN = "own"
PACKAGES = {
    "5.3": ("celery[redis]>=5.3,<5.4", "kombu>=5.3,<5.4"),
    "5.7": ("celery[redis]>=5.7,<5.8",),
}


def python_with(celery: str) -> Path:
    """Return the interpreter of an environment with that version, after installing it if need
    be."""
    if celery == OWN:
        return Path(sys.executable)
    folder = _cache() / f"celery-{celery}-python-{sys.version_info[0]}.{sys.version_info[1]}"
    python, stamp = folder / "bin" / "python", folder / "installed"
    wanted = "\n".join(PACKAGES[celery])
    if not (stamp.exists() and stamp.read_text() == wanted):
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *PACKAGES[celery]], check=True)
        stamp.write_text(wanted)
    return python


def _cache() -> Path:
    """Outside of the repository, so that it is neither linted nor committed."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = folder / "salesforce-cdc-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def versions_of(python: Path) -> str:
    """Return the versions of Celery and of what it speaks to brokers with."""
    code = (
        "from importlib.metadata import version; "
        "print(', '.join(f'{name} {version(name)}' for name in ('celery', 'kombu', 'redis')))"
    )
    return subprocess.check_output([str(python), "-c", code], text=True).strip()
