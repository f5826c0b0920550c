"""Reads docker-compose.yml and the Dockerfile as Docker does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from ruamel.yaml import YAML

from tests.nursery import ROOT

COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = ROOT / "Dockerfile"
#: One without another in its default: those are put in first.
_VARIABLE = re.compile(r"(?<!\$)\$\{\w+:-([^${}]*)\}")


@dataclass(frozen=True)
class Service:
    name: str
    #: The file's mapping, with anchors resolved and variables replaced.
    text: Mapping[str, Any]

    @property
    def command(self) -> list[str]:
        return list(self.text.get("command", []))

    @property
    def environment(self) -> dict[str, str]:
        return dict(self.text.get("environment", {}))

    @property
    def health_check(self) -> list[str]:
        """The health check as a command."""
        test = self.text["healthcheck"]["test"]
        return ["sh", "-c", test[1]] if test[0] == "CMD-SHELL" else test[1:]

    @property
    def is_ours(self) -> bool:
        return "build" in self.text

    @property
    def ends_by_itself(self) -> bool:
        return str(self.text.get("restart", "")).startswith("on-failure")

    @property
    def limits(self) -> dict[str, Any]:
        return dict(self.text.get("deploy", {}).get("resources", {}).get("limits", {}))


@cache
def document() -> dict[str, Any]:
    text = YAML(typ="safe", pure=True).load(COMPOSE)
    return dict(_put_in(text))


@cache
def services() -> dict[str, Service]:
    found = document()["services"]
    return {name: Service(name, text) for name, text in found.items()}


def seconds(text: str) -> float:
    """Return the seconds of a duration such as `1m30s`."""
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    return sum(float(n) * units[unit] for n, unit in re.findall(r"([\d.]+)(ms|s|m|h)", text))


def runtime_stage() -> str:
    """Return the text of the Dockerfile's stage `runtime`."""
    return DOCKERFILE.read_text().partition(" AS runtime\n")[2].partition("\nFROM ")[0]


def image_environment() -> dict[str, str]:
    """Return the variables that the stage's ENV instructions set."""
    joined = runtime_stage().replace("\\\n", " ")
    lines = [line[4:] for line in joined.splitlines() if line.startswith("ENV ")]
    return dict(pair.split("=", 1) for line in lines for pair in line.split())


def instructions(name: str) -> list[str]:
    """Return the arguments of each instruction of that name in the Dockerfile."""
    joined = DOCKERFILE.read_text().replace("\\\n", " ")
    return [line[len(name) + 1 :] for line in joined.splitlines() if line.startswith(name + " ")]


def stages() -> set[str]:
    """Return the names of the Dockerfile's stages."""
    return {text.split(" AS ")[1] for text in instructions("FROM") if " AS " in text}


def exec_forms() -> list[list[str]]:
    """Return each command that the image runs: CMD, and that of HEALTHCHECK."""
    texts = re.findall(r"^(?:HEALTHCHECK .*)?CMD (\[.*\])$", DOCKERFILE.read_text(), re.MULTILINE)
    return [json.loads(text) for text in texts]


def _put_in(value: Any) -> Any:
    match value:
        case str():
            while (inner := _VARIABLE.sub(r"\1", value)) != value:
                value = inner
            return value.replace("$$", "$")
        case dict():
            return {key: _put_in(one) for key, one in value.items()}
        case list():
            return [_put_in(one) for one in value]
        case _:
            return value
