"""`python -m docs.generator [--check]`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cdcproject.settings")
    os.environ["DEBUG"] = "true"
    import django

    django.setup()
    from docs.generator.blocks import written
    from docs.generator.sources import SOURCES

    fresh = {page: written(page.read_text(), SOURCES) for page in sorted(DOCS.glob("*.md"))}
    stale = [page for page, text in fresh.items() if page.read_text() != text]
    if "--check" in sys.argv[1:]:
        names = ", ".join(page.name for page in stale)
        return _fail(f"stale, run `python -m docs.generator`: {names}") if stale else 0
    for page in stale:
        page.write_text(fresh[page])
    return 0


def _fail(message: str) -> int:
    sys.stderr.write(f"{message}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
