"""Patterns in which ``*`` stands for any text, matched in linear time. Pure.

A regular expression made of such a pattern can take longer than the universe has existed: several
wildcards in a row backtrack into one another.
"""

from __future__ import annotations

LONGEST = 255
MOST_WILDCARDS = 10
_SHOWN = 60


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text is as the pattern says. Upper and lower case differ."""
    first, *others = pattern.split("*")
    if not others:
        return text == pattern
    if not text.startswith(first):
        return False
    at = len(first)
    *middle, last = others
    for part in middle:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return text.endswith(last) and len(text) - len(last) >= at


def flaw(pattern: str) -> str:
    """Why a pattern is refused; empty when it is not."""
    if len(pattern) > LONGEST:
        return f'"{_shown(pattern)}" has {len(pattern):,} characters; use {LONGEST} at most.'
    if (wildcards := pattern.count("*")) > MOST_WILDCARDS:
        return f'"{_shown(pattern)}" has {wildcards} wildcards; use {MOST_WILDCARDS} at most.'
    return ""


def _shown(pattern: str) -> str:
    return pattern if len(pattern) <= _SHOWN else f"{pattern[:_SHOWN]}…"
