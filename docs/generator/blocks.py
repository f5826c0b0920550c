"""Write the parts of a page that are generated from the code, between two comments.

<!-- from the code: a-source an argument -->
…
<!-- to here -->
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

#: Takes the text behind the source's name in the comment; returns Markdown.
Source = Callable[[str], str]

_BEGINS = "<!-- from the code: "
_ENDS = "<!-- to here -->"
_BLOCK = re.compile(
    rf"^{_BEGINS}(?P<source>[\w-]+)(?: (?P<argument>[^\n]*?))? -->\n.*?^{_ENDS}$",
    re.DOTALL | re.MULTILINE,
)


class UnknownSource(Exception):
    """A page names a source that does not exist. Correct its comment, or write the source."""


def written(text: str, sources: Mapping[str, Source]) -> str:
    """Return the page with each generated block replaced. Raises UnknownSource."""

    def replaced(found: re.Match[str]) -> str:
        name, argument = found["source"], found["argument"] or ""
        if name not in sources:
            raise UnknownSource(f"{name!r}; there are {', '.join(sorted(sources))}")
        begins = found[0].partition("\n")[0]
        return f"{begins}\n\n{sources[name](argument).strip()}\n\n{_ENDS}"

    fresh = _BLOCK.sub(replaced, text)
    if fresh.count(_BEGINS) != len(_BLOCK.findall(fresh)):
        raise UnknownSource(f"a block lacks its end, {_ENDS}")
    return fresh


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a Markdown table; bars within cells are escaped."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )
