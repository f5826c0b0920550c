"""The invalid files of refused.txt, with the expected errors of each, line by line.

`=== name` begins a file, `=> line: text` is an expected error; `@connection` or `@listener` in a
first line stands for a valid beginning.
"""

from itertools import pairwise
from pathlib import Path

CONNECTION = """\
connections:
  - name: prod
    base_url: https://example.my.salesforce.com
    client_id: the-client
    client_secret: hush
    auth: client_credentials
"""
LISTENER = f"{CONNECTION}listeners:\n  - name: one\n    connection: prod\n"
SPECIAL = "not YAML: special characters are not allowed; remove the character"
DEEP = "lists and mappings are nested too deeply; flatten them"
ALIASES = "aliases (*name) expand to too many values; use fewer"


def refused() -> dict[str, tuple[str, list[str]]]:
    """Return each file's text and its errors, by name."""
    text = Path(__file__).with_name("refused.txt").read_text()
    return {**dict(map(_read, text.split("=== ")[1:])), **_made()}


def _read(part: str) -> tuple[str, tuple[str, list[str]]]:
    name, *lines = part.splitlines(keepends=True)
    said = [line.removeprefix("=> ").rstrip("\n") for line in lines if line.startswith("=> ")]
    text = "".join(line for line in lines if not line.startswith("=> "))
    text = text.replace("@connection\n", CONNECTION).replace("@listener\n", LISTENER)
    return name.strip(), (text, said)


def _made() -> dict[str, tuple[str, list[str]]]:
    """Return generated files, which are too large to write down."""
    deep = "connections: " + "[" * 500 + "]" * 500 + "\n"
    steps = "".join(f"{'  ' * depth}a:\n" for depth in range(400))
    names = "abcdefgh"
    laughs = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{this}: &{this} [{', '.join([f'*{before}'] * 9)}]\n" for before, this in pairwise(names)
    )
    return {
        "a control character": ("connections: \x02\n", [f"1: {SPECIAL}"]),
        "deep brackets": (deep, [f"1: {DEEP}"]),
        "deep indentation": (steps, [f"1: {DEEP}"]),
        "aliases of aliases": (f"{laughs}connections: *h\n", [f"1: {ALIASES}"]),
    }
