"""Follows the guides, two at a time: `make guides`, or `python -m tests.guides NAME …`.

Each guide has a home folder of its own, with the product's wheel in it, which is built before. All
packages come from a folder with the wheels of the lock.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.guides.installations import Installations
from tests.guides.reader import WrongGuide, follow
from tests.nursery import ROOT

GUIDES = ROOT / "docs/guides"
AT_ONCE = 2
#: What of this process's environment a reader has, too.
_KEPT = ("LANG", "LC_ALL", "TMPDIR", "TERM")


def main(names: Sequence[str]) -> int:
    pages = [GUIDES / f"{name}.md" for name in names] or sorted(GUIDES.glob("*.md"))
    with tempfile.TemporaryDirectory(prefix="cdc-guides-") as name:
        folder = Path(name)
        _build(folder)
        environment = _environment(folder)
        home = _home(folder / "installed", folder)
        installations = Installations(home, {**environment, "HOME": str(home)})

        def is_right(page: Path) -> bool:
            return _is_right(page, folder, environment, installations)

        with ThreadPoolExecutor(AT_ONCE) as readers:
            passed = list(readers.map(is_right, pages))
    print(f"{passed.count(True)} passed, {passed.count(False)} failed")
    return 0 if all(passed) else 1


def _build(folder: Path) -> None:
    """The product's wheel in `product`, and those that it and the readers' projects require in
    `wheels`."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel"]
    pip += ["--no-deps", "--wheel-dir"]
    building = [
        subprocess.Popen([*pip, folder / "product", "--no-build-isolation", ROOT]),
        subprocess.Popen([*pip, folder / "wheels", "-r", ROOT / "requirements.txt"]),
    ]
    codes = [process.wait() for process in building]
    if any(codes):
        raise SystemExit("the wheels could not be built")


def _environment(folder: Path) -> dict[str, str]:
    """With this Python as `python3`, and packages from the folder."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to(os.path.realpath(sys.executable))
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | {
        "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin",
        "PIP_FIND_LINKS": str(folder / "wheels"),
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def _home(home: Path, folder: Path) -> Path:
    """A home folder with the product's wheel in it."""
    home.mkdir(parents=True)
    [wheel] = (folder / "product").iterdir()
    shutil.copy(wheel, home)
    return home


def _is_right(
    page: Path, folder: Path, environment: Mapping[str, str], installations: Installations
) -> bool:
    began = time.monotonic()
    own = folder / page.stem
    scripts = own / "scripts"
    home = _home(own / "home", folder)
    scripts.mkdir()
    try:
        follow(page, home, environment, scripts, installations)
    except WrongGuide as error:
        print(f"{page.stem}: FAILED\n{error}", flush=True)
        return False
    finally:
        shutil.rmtree(own, ignore_errors=True)
    print(f"{page.stem}: as written, {time.monotonic() - began:.0f} s", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
