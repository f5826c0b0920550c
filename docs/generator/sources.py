"""The sources that a page can name, by name."""

from __future__ import annotations

from collections.abc import Mapping

from docs.generator.blocks import Source
from docs.generator.commands import options
from docs.generator.logins import fields, kinds
from docs.generator.simulator import control

SOURCES: Mapping[str, Source] = {
    "options": options,  # the options of a manage.py command
    "control": control,  # the operations of the simulator's control API
    "login": fields,  # the required and optional fields of a kind of login
    "logins": kinds,  # the same of all kinds, as a table
}
