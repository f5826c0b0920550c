"""Runs the code blocks of the documentation; a block that is not run says why.

    <!-- skip: next "it needs a second machine" -->

The language of a block decides how it is run (`LANGUAGES`). `test_pages.py` runs every page. If a
page's Python blocks are tests, a module imports them, such as `test_testing_handlers.py`; if they
define handlers or functions, a module tests those, such as `test_handlers_page.py`.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from unittest import SkipTest

from sybil import Document, Example, Region
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import SkipParser
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

from tests.docs import configuration, dockerfile, shell
from tests.metrics import promql
from tests.nursery import ROOT

DOCS = ROOT / "docs"
Run = Callable[[Example], str | None]
_FENCE = RawFencedCodeBlockLexer(re.compile(r"[ \t]*(?P<language>[^\n]*)\n"))


class NotRun(Exception):
    """A block cannot be run as it is. Correct it, or give the reason before it: `<!-- skip: next
    "the reason" -->`."""


class Failed(Exception):
    """Blocks of a page failed; the message has each one's line."""

    def __init__(self, failures: Mapping[str, Exception]) -> None:
        told = [f"{where}: {type(one).__name__}: {one}" for where, one in failures.items()]
        super().__init__("\n".join(told))


def _of_text(check: Callable[[str], object]) -> Run:
    def evaluate(example: Example) -> None:
        check(str(example.parsed))

    return evaluate


LANGUAGES: dict[str, Run] = {
    "python": PythonEvaluator(),
    "yaml": _of_text(configuration.load),
    "sh": _of_text(shell.check),
    "json": _of_text(json.loads),
    "dockerfile": _of_text(dockerfile.check),
    "promql": _of_text(promql.check),
    "sql": _of_text(str),  # the page's own test runs it, on PostgreSQL
    "text": _of_text(str),  # no code: what a program prints
}


def run(page: Path, *, languages: Iterable[str] = LANGUAGES) -> dict[str, Any]:
    """Run a page's blocks in these languages, in order and in one namespace, and return the names
    that its Python blocks define. Raises Failed with all failures."""
    document = _parsed(page, set(languages))
    document.namespace["__name__"] = f"docs.{page.stem}"
    failures: dict[str, Exception] = {}
    for example in document:
        try:
            example.evaluate()
        except SkipTest:
            continue
        except Exception as error:
            failures[f"{page.name}:{example.line}"] = error
    if failures:
        raise Failed(failures) from next(iter(failures.values()))
    return document.namespace


@cache
def defined(page: Path) -> dict[str, Any]:
    """Return the names that a page's Python blocks define. They are run once in a process, because
    a handler can be registered only once."""
    return run(page, languages=["python"])


def blocks(page: Path, language: str) -> list[str]:
    """Return the text of the blocks in a language."""
    found = [one.region for one in _parsed(page, set())]
    return [str(one.parsed) for one in found if _language_of(one) == language]


def _parsed(page: Path, languages: set[str]) -> Document:
    return Document.parse(str(page), _skips, lambda document: _fenced(document, languages))


def _fenced(document: Document, languages: set[str]) -> Iterator[Region]:
    for region in _FENCE(document):
        language = _language_of(region)
        source = region.lexemes["source"]
        region.parsed = type(source)(textwrap.dedent(source), source.offset, source.line_offset)
        if language not in LANGUAGES:
            region.evaluator = _unknown(language)
        elif language in languages:
            region.evaluator = LANGUAGES[language]
        else:
            region.evaluator = LANGUAGES["text"]
        yield region


def _language_of(region: Region) -> str:
    return str(region.lexemes.get("language", "")).strip()


def _skips(document: Document) -> Iterator[Region]:
    for region in SkipParser()(document):
        _, reason = region.parsed
        if not (reason or "").strip("\"' "):
            region.evaluator = _unexplained
        yield region


def _unknown(language: str) -> Run:
    def refuse(example: Example) -> None:
        named = f"{language!r} is not run here" if language else "the fence names no language"
        raise NotRun(f"{named}: use one of {', '.join(LANGUAGES)}, or say why it isn't run")

    return refuse


def _unexplained(example: Example) -> None:
    raise NotRun('say why the next block isn\'t run: <!-- skip: next "the reason" -->')
