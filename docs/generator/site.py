"""MkDocs hooks: add pages from outside `docs/`, and refuse pages that load from other hosts."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

#: Pages outside `docs/`, each with its name in the site.
BESIDE = {
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
}

_FROM_BESIDE = re.compile(r"\]\((?:\.\./)?docs/")
_TO_BESIDE = re.compile(rf"\]\(\.\./({'|'.join(map(re.escape, BESIDE))})")
_ENDS_ITS_LIST = re.compile(r"^ {1,3}```", re.MULTILINE)
_FETCHED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*?\bsrc=[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|<link\b(?![^>]*\brel=[\"']?canonical)[^>]*?\bhref=[\"']?((?:https?:)?//[^\"'\s>]+)"
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside `docs/`."""
    root = Path(config.docs_dir).parent
    for source, name in BESIDE.items():
        files.append(File.generated(config, name, content=(root / source).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Point links to the pages' places in the site.

    Raises PluginError for a code block that would end its list and restart the numbering.
    """
    if _ENDS_ITS_LIST.search(markdown):
        raise PluginError(f"{page.file.src_uri}: indent code blocks in lists by four spaces")
    if page.file.src_uri in BESIDE.values():
        return _FROM_BESIDE.sub("](", markdown)
    return _TO_BESIDE.sub(lambda found: f"]({BESIDE[found[1]]}", markdown)


def on_post_build(config: MkDocsConfig) -> None:
    """Raise PluginError if a page loads anything from another host; it names the addresses."""
    found = [
        f"{page.name}: {address}"
        for page in sorted(Path(config.site_dir).rglob("*.html"))
        for address in fetched(page.read_text())
    ]
    if found:
        raise PluginError(f"pages load from other hosts: {', '.join(found)}")


def fetched(html: str) -> list[str]:
    """Return the addresses on other hosts that a browser loads to show the page."""
    return [first or second for first, second in _FETCHED.findall(html)]
