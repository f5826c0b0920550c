"""The program `salesforce-cdc` (also `python -m cdcproject`): Django's commands, and the demo."""

from __future__ import annotations

import os
import runpy
import sys

from django.core.management import execute_from_command_line

from cdcproject.conf.packages import PACKAGES, refuse_shadowed


def main() -> None:
    """Run a management command with the current folder on the path, as Celery and gunicorn do."""
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    if sys.argv[1:2] == ["demo"]:
        refuse_shadowed((*PACKAGES, "demo"))
        sys.argv[:2] = ["salesforce-cdc demo"]
        runpy.run_module("demo", run_name="__main__")
    refuse_shadowed()
    if sys.argv[1:] in ([], ["help"], ["--help"], ["-h"]):
        sys.stdout.write("salesforce-cdc demo: run everything, with a simulated org.\n")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cdcproject.settings")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
