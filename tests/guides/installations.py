"""The environments that the guides install: each with the guide's own lines, but only once.

A guide with the same lines gets a copy, since to install the product takes most of a guide's time.
"""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

_INSTALLS = re.compile(r"^python3 -m venv \.venv\n\.venv/bin/pip install [^\n]+$", re.MULTILINE)


class Installations:
    """Safe for several readers at once."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """`environment` is that of a reader; its home folder has what is installed from there."""
        self._folder = folder
        self._environment = environment
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._installed: dict[str, Path] = {}

    def in_place(self, commands: str) -> str:
        """Install what the commands install, and return commands that copy it instead."""
        return _INSTALLS.sub(lambda found: _copy_of(self._install(found[0])), commands)

    def _install(self, lines: str) -> Path:
        with self._lock:
            folder = self._folder / str(len(self._locks))
            lock = self._locks.setdefault(lines, threading.Lock())
        with lock:
            if lines not in self._installed:
                folder.mkdir()
                command = ["bash", "-e", "-c", lines]
                subprocess.run(command, cwd=folder, env=self._environment, check=True)
                self._installed[lines] = folder
        return self._installed[lines]


def _copy_of(folder: Path) -> str:
    """With links to the files, and the programs pointed to the copy."""
    return (
        f"cp -al {folder}/.venv .venv\n"
        f'grep -lI {folder} .venv/bin/* | xargs sed -i "s#{folder}#$PWD#"'
    )
