"""Runs management commands as `manage.py` does, one after the other in one process.

python -m tests.secrecy.commands '[["cdc_status"], ["check_cdc_connection", "prod"]]'
"""

import json
import sys
import traceback

from django.core.management import execute_from_command_line
from django.db import DatabaseError


def main(commands: list[list[str]]) -> None:
    for command in commands:
        print(f"$ {' '.join(command)}", flush=True)
        try:
            execute_from_command_line(["manage.py", *command])
        except SystemExit as ended:
            print(f"exit code {ended.code}", flush=True)
        except (DatabaseError, OSError, ValueError, RuntimeError, LookupError):
            traceback.print_exc()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
