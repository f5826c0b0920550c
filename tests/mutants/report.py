"""The report of a sample: figures by area, and each survivor with its reason if one is known."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from tests.mutants.mutations import Mutation
from tests.mutants.trying import Result, Verdict

#: The share that tests must kill of the mutations that change the product's behaviour.
TARGET = 0.9
_JUDGED = Path(__file__).parent / "judged.toml"


def judged() -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return the mutations that a person has judged, each with the reason: those without an effect
    that a user could notice (equivalent), and those that no test kills yet."""
    found = tomllib.loads(_JUDGED.read_text(encoding="utf-8"))
    return found.get("equivalent", {}), found.get("unnoticed", {})


def report(chosen: Mapping[str, Sequence[Mutation]], results: Mapping[str, Result]) -> str:
    equivalent, unnoticed = judged()
    lines = ["# Mutation tests", "", _summary(chosen, results, equivalent), ""]
    lines += ["| area | mutations | killed | survived | equivalent |", "|---|---|---|---|---|"]
    for area, mutations in chosen.items():
        counts = _counts(mutations, results, equivalent)
        cells = [sum(counts.values()), counts["killed"], counts["survived"], counts["equivalent"]]
        lines.append(f"| {area} | {' | '.join(map(str, cells))} |")
    lines += ["", "## Survivors", ""]
    for area, mutations in chosen.items():
        for one in mutations:
            outcome = _outcome(one, results, equivalent)
            if outcome in ("", "killed"):
                continue
            if outcome == "equivalent":
                why = f"equivalent: {equivalent[one.key]}"
            else:
                why = unnoticed.get(one.key) or f"not judged yet ({results[one.key].by})"
            lines.append(f"- {area}, `{one.path}:{one.line}` ({one.kind})\n  `{one.key}`\n  {why}")
    return "\n".join(lines) + "\n"


def share_killed(chosen: Mapping[str, Sequence[Mutation]], results: Mapping[str, Result]) -> float:
    """Return the share of killed mutations among those tried that are not equivalent."""
    equivalent, _ = judged()
    counts: Counter[str] = Counter()
    for mutations in chosen.values():
        counts += _counts(mutations, results, equivalent)
    relevant = counts["killed"] + counts["survived"]
    return counts["killed"] / relevant if relevant else 0.0


def _summary(
    chosen: Mapping[str, Sequence[Mutation]],
    results: Mapping[str, Result],
    equivalent: Mapping[str, str],
) -> str:
    counts: Counter[str] = Counter()
    for mutations in chosen.values():
        counts += _counts(mutations, results, equivalent)
    share = share_killed(chosen, results)
    return (
        f"{sum(counts.values())} mutations: {counts['killed']} killed, "
        f"{counts['survived']} survived, {counts['equivalent']} equivalent. "
        f"{share:.1%} of those that are not equivalent were killed (target {TARGET:.0%})."
    )


def _counts(
    mutations: Sequence[Mutation], results: Mapping[str, Result], equivalent: Mapping[str, str]
) -> Counter[str]:
    outcomes = (_outcome(one, results, equivalent) for one in mutations)
    return Counter(outcome for outcome in outcomes if outcome)


def _outcome(
    one: Mutation, results: Mapping[str, Result], equivalent: Mapping[str, str]
) -> Literal["killed", "equivalent", "survived", ""]:
    """Return what is known of a mutation: an empty text if it was neither tried nor judged."""
    result = results.get(one.key)
    if result is not None and result.verdict is Verdict.KILLED:
        return "killed"
    if one.key in equivalent:
        return "equivalent"
    return "survived" if result is not None else ""
