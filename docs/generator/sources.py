"""By its name, what a page can take from the code."""

from __future__ import annotations

from collections.abc import Mapping

from docs.generator.blocks import Source
from docs.generator.commands import options
from docs.generator.logins import fields
from docs.generator.simulator import control

SOURCES: Mapping[str, Source] = {
    "options": options,  # of a command of manage.py
    "control": control,  # operations of the simulator's control API
    "login": fields,  # what a kind of login needs and heeds
}
