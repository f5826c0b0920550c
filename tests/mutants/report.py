"""The report of a sample: figures by area, and each survivor with its reason if one is known."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import chain
from pathlib import Path

from tests.mutants.mutations import Mutation
from tests.mutants.trying import Result, Verdict

#: The share that tests must kill of the mutations that change the product's behaviour.
TARGET = 0.9
_JUDGED = Path(__file__).parent / "judged.toml"


class Outcome(StrEnum):
    KILLED = "killed"
    SURVIVED = "survived"
    EQUIVALENT = "equivalent"
    NOT_TRIED = "not tried"


def judged() -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the mutations that a person has judged, each with the reason: those without an effect
    that a user could notice (equivalent), and those that no test kills yet."""
    found = tomllib.loads(_JUDGED.read_text(encoding="utf-8"))
    return found.get("equivalent", {}), found.get("unnoticed", {})


def report(chosen: Mapping[str, Sequence[Mutation]], results: Mapping[str, Result]) -> str:
    equivalent, unnoticed = judged()
    lines = ["# Mutation tests", "", _summary(chosen, results), ""]
    lines += ["| area | mutations | killed | survived | equivalent | not tried |"]
    lines += ["|---|---|---|---|---|---|"]
    for area, mutations in chosen.items():
        counts = _counts(mutations, results)
        cells = [len(mutations), *(counts[outcome] for outcome in Outcome)]
        lines.append(f"| {area} | {' | '.join(map(str, cells))} |")
    lines += ["", "## Survivors", ""]
    for area, mutations in chosen.items():
        for mutation in mutations:
            match _outcome(mutation, results, equivalent):
                case Outcome.SURVIVED:
                    by = results[mutation.key].by
                    why = unnoticed.get(mutation.key) or f"not judged yet ({by})"
                case Outcome.EQUIVALENT:
                    why = f"equivalent: {equivalent[mutation.key]}"
                    why += "" if mutation.key in results else " (not tried)"
                case Outcome.KILLED | Outcome.NOT_TRIED:
                    continue
            place = f"{area}, `{mutation.path}:{mutation.line}` ({mutation.kind})"
            lines.append(f"- {place}\n  `{mutation.key}`\n  {why}")
    return "\n".join(lines) + "\n"


def is_met(chosen: Mapping[str, Sequence[Mutation]], results: Mapping[str, Result]) -> bool:
    """Return whether all that are not equivalent were tried, and enough of them killed."""
    counts = _all_counts(chosen, results)
    return not counts[Outcome.NOT_TRIED] and _share_killed(counts) >= TARGET


def _summary(chosen: Mapping[str, Sequence[Mutation]], results: Mapping[str, Result]) -> str:
    counts = _all_counts(chosen, results)
    every = ", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome)
    return (
        f"{counts.total()} mutations: {every}. {_share_killed(counts):.1%} of those tried that are "
        f"not equivalent were killed (target {TARGET:.0%})."
    )


def _share_killed(counts: Counter[Outcome]) -> float:
    relevant = counts[Outcome.KILLED] + counts[Outcome.SURVIVED]
    return counts[Outcome.KILLED] / relevant if relevant else 0.0


def _all_counts(
    chosen: Mapping[str, Sequence[Mutation]], results: Mapping[str, Result]
) -> Counter[Outcome]:
    return _counts(list(chain.from_iterable(chosen.values())), results)


def _counts(mutations: Sequence[Mutation], results: Mapping[str, Result]) -> Counter[Outcome]:
    equivalent, _ = judged()
    return Counter(_outcome(mutation, results, equivalent) for mutation in mutations)


def _outcome(
    mutation: Mutation, results: Mapping[str, Result], equivalent: Mapping[str, str]
) -> Outcome:
    """Return what is known of a mutation. A test that kills it refutes a person's judgement."""
    result = results.get(mutation.key)
    if result is not None and result.verdict is Verdict.KILLED:
        return Outcome.KILLED
    if mutation.key in equivalent:
        return Outcome.EQUIVALENT
    return Outcome.NOT_TRIED if result is None else Outcome.SURVIVED
