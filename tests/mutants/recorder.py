"""A pytest plugin that records which tests run which lines of the mutated modules.

Each process of a run writes its own files into the folder CDC_MUTANTS_RECORD: what it traced, and
how long each test that passed took.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

from tests.mutants.areas import ROOT, every_module

FOLDER = Path(os.environ["CDC_MUTANTS_RECORD"])
_trace = coverage.Coverage(
    data_file=str(FOLDER / "traced"),
    data_suffix=True,
    include=[str(ROOT / path) for path in every_module()],
    config_file=False,
    messages=False,
)
_trace.start()
_seconds: dict[str, float] = defaultdict(float)
_failed: set[str] = set()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    _trace.switch_context(item.nodeid)
    try:
        return (yield)
    finally:
        _trace.switch_context("")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds[report.nodeid] += report.duration
    if not report.passed:
        _failed.add(report.nodeid)


def pytest_sessionfinish() -> None:
    _trace.stop()
    _trace.save()
    passed = {test: took for test, took in _seconds.items() if test not in _failed}
    name = f"seconds-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}.json"
    (FOLDER / name).write_text(json.dumps(passed))
