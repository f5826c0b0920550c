"""A user's own project: a folder on the path beside the product, and processes that run with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

from tests.nursery import ROOT

_INHERITED = ("PATH", "LANG", "HOME", "DATABASE_URL")


@dataclass
class OwnProject:
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))

    def run(
        self, *arguments: str, standard_input: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `python …` in the project's folder, which comes before the product's on the path."""
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={
                **inherited,
                "DEBUG": "true",
                "DATABASE_URL": f"sqlite:///{self.folder}/db.sqlite3",
                "VAR_DIR": str(self.folder / "var"),
                "PYTHONPATH": os.pathsep.join([str(self.folder), str(ROOT)]),
                **self.environment,
            },
            check=False,
            capture_output=True,
            text=True,
            input=standard_input,
            timeout=500,
        )

    def manage(self, *arguments: str) -> str:
        """Run a command of `manage.py` that must succeed, and return its output."""
        done = self.run(str(ROOT / "manage.py"), *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
