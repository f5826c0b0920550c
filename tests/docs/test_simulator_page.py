"""docs/simulator.md describes each operation of the control API, with examples that work."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from simulator.control.operations import OPERATIONS
from simulator.control.requests import CHANGES
from simulator.faults import KINDS
from simulator.options import Options
from simulator.server import application
from simulator.simulator import Simulator
from simulator.traffic.generator import MIX
from tests.docs.examples import DOCS
from tests.docs.tables import named, rows_of
from tests.simulator.process import SimulatorProcess

PAGE = DOCS / "simulator.md"
ANSWERS = ("Answer:", "answers with them, without their fields:")
_SECTION = re.compile(r"^### `(GET|POST|DELETE) (/_simulator/\S+)`$", re.MULTILINE)
_RECORD_ID = re.compile(r"[0-9a-zA-Z]{15}[A-Z0-5]{3}$")
_BLOCK = re.compile(r"([^\n]*)\n\n```(json|text)\n(.*?)\n```", re.DOTALL)


@dataclass
class Example:
    """A request of the page, with the answer that the page shows."""

    method: str
    path: str
    body: Any = None
    answer: Any = None


def sections() -> dict[str, list[Example]]:
    """Return the examples of each operation, in the page's order."""
    _, *parts = _SECTION.split(PAGE.read_text())
    found = {}
    for method, path, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        operation = f"{method} {path.removeprefix('/_simulator/')}"
        found[operation] = list(examples(method, path, text.partition("\n## ")[0]))
    return found


def examples(method: str, path: str, text: str) -> Iterator[Example]:
    example = Example(method, path) if method == "DELETE" else None
    for before, language, block in _BLOCK.findall(text):
        if before.endswith(ANSWERS):
            assert example, f"an answer without a request: {block}"
            example.answer = json.loads(block)
            continue
        if example:
            yield example
        if language == "json":
            example = Example(method, path, json.loads(block))
        else:
            method, _, path = block.partition(" ")
            example = Example(method, path)
    if example:
        yield example


def bodies(operation: str) -> list[dict[str, Any]]:
    return [example.body for example in sections()[operation]]


def test_each_operation_has_a_section_with_an_example() -> None:
    served = {
        f"{route.method} {route.resource.canonical.removeprefix('/_simulator/')}"
        for route in application(Simulator(Options())).router.routes()
        if route.resource and route.resource.canonical.startswith("/_simulator/")
        if route.method != "HEAD"
    }

    assert served == set(OPERATIONS) == set(sections())
    assert all(sections().values())


def test_each_kind_of_change_has_an_example() -> None:
    given = [change for body in bodies("POST changes") for change in body.get("changes", [body])]

    assert {change["op"] for change in given} == set(CHANGES)


def test_each_kind_of_fault_has_a_row_and_an_example() -> None:
    at_once = {"revoke_tokens": [], "drop_sessions": ["error"], "age_out": ["forget"]}
    wanted = {**{kind: list(options) for kind, options in KINDS.items()}, **at_once}
    rows = {named(row[0])[0]: named(row[-1]) for row in rows_of(PAGE) if len(row) == 3}

    assert {body["kind"] for body in bodies("POST faults")} == set(wanted)
    assert set(rows) == set(wanted)
    for kind, options in wanted.items():
        assert set(options) <= set(rows[kind]), kind


def test_each_kind_of_generated_change_is_named() -> None:
    text = PAGE.read_text()

    assert all(f"`{kind}`" in text for kind in MIX)


@pytest.fixture(scope="module")
def org() -> Iterator[SimulatorProcess]:
    with SimulatorProcess("--connect-timeout", "1", grpc=True) as process:
        yield process


def test_the_examples_work_in_the_order_of_the_page(org: SimulatorProcess) -> None:
    for example in [one for found in sections().values() for one in found]:
        response = org.http.request(
            example.method, f"{org.url}{example.path}", json=example.body, timeout=30
        )

        assert response.status_code == 200, f"{example}: {response.text}"
        if example.answer is not None:
            assert fits(example.answer, response.json()), f"{example}: {response.text}"


def fits(shown: Any, answer: Any, *, whole: bool = True) -> bool:
    """Return whether an answer has the form that the page shows; with `whole`, nothing else."""
    match shown:
        case dict():
            if not isinstance(answer, dict):
                return False
            if shown and all(_RECORD_ID.match(key) for key in shown):
                # The example of generated changes may have created a newer record of the object.
                return fits(list(shown.values()), list(answer.values()))
            is_whole = not whole or set(shown) == set(answer)
            return (
                set(shown) <= set(answer)
                and is_whole
                and all(fits(shown[one], answer[one], whole=False) for one in shown)
            )
        case [first, *_]:
            return isinstance(answer, list) and (not answer or fits(first, answer[0], whole=False))
        case None:
            return True
        case _:
            return answer is None or isinstance(answer, type(shown))


def test_the_first_example_can_be_typed_as_it_is(org: SimulatorProcess) -> None:
    command = re.search(r"^curl http://localhost:8090(\S+) -d '(.*)'$", PAGE.read_text(), re.M)

    assert command
    response = requests.post(f"{org.url}{command[1]}", data=command[2], timeout=10)
    assert (response.status_code, response.json()["count"]) == (200, 1)


def test_a_mistake_is_answered_as_the_page_says(org: SimulatorProcess) -> None:
    response = org.http.post(f"{org.url}/_simulator/changes", json={"op": "upsert", "entity": "A"})

    assert response.status_code == 400
    assert response.text.replace('":"', '": "') in PAGE.read_text()
