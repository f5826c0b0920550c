"""Flower's configuration: user `flower`, with the password from a file."""

import os
from pathlib import Path

basic_auth = [f"flower:{Path(os.environ['FLOWER_PASSWORD_FILE']).read_text().strip()}"]
