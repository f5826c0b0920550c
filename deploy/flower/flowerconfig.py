"""Flower's own configuration: it is shown to user `flower` with the password of a file."""

import os
from pathlib import Path

basic_auth = [f"flower:{Path(os.environ['FLOWER_PASSWORD_FILE']).read_text().strip()}"]
