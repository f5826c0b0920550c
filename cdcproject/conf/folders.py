"""The folder of the code, and the folder of what the processes write."""

import os
from pathlib import Path

#: The folder that contains our packages: that of manage.py, or site-packages.
BASE_DIR = Path(__file__).resolve().parents[2]


def var_dir() -> Path:
    """Return VAR_DIR: by default `var` beside manage.py, or in the current folder where there is no
    manage.py, since packages that are installed from a wheel have no place for files."""
    default = BASE_DIR if (BASE_DIR / "manage.py").is_file() else Path.cwd()
    return Path(os.environ.get("VAR_DIR") or default / "var").absolute()
