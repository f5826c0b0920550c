"""Wildcard patterns, in which ``*`` stands for any text, matched in linear time.

They are not translated to regular expressions, whose matching time can grow exponentially with the
number of wildcards.
"""

from __future__ import annotations

LONGEST = 255
MOST_WILDCARDS = 10
_SHOWN = 60


def matches(pattern: str, text: str) -> bool:
    """Return whether the pattern matches the whole text. Case-sensitive."""
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
    """Return why the pattern is refused; empty when it is accepted."""
    if len(pattern) > LONGEST:
        return f'"{_shown(pattern)}" has {len(pattern):,} characters; the maximum is {LONGEST}.'
    if (wildcards := pattern.count("*")) > MOST_WILDCARDS:
        return f'"{_shown(pattern)}" has {wildcards} wildcards; the maximum is {MOST_WILDCARDS}.'
    return ""


def _shown(pattern: str) -> str:
    return pattern if len(pattern) <= _SHOWN else f"{pattern[:_SHOWN]}…"
