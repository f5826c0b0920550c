"""Hooks of MkDocs: files beside `docs/` become pages; no page asks another host for anything."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

#: Pages that are read in the repository first, and what each is called in the site.
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
    """Adds them."""
    root = Path(config.docs_dir).parent
    for source, name in BESIDE.items():
        files.append(File.generated(config, name, content=(root / source).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Links lead to where the pages are in the site. Raises PluginError for a code block that would
    end the list that it belongs to, whose next point would be the first again."""
    if _ENDS_ITS_LIST.search(markdown):
        raise PluginError(f"{page.file.src_uri}: indent code blocks in lists by four spaces")
    if page.file.src_uri in BESIDE.values():
        return _FROM_BESIDE.sub("](", markdown)
    return _TO_BESIDE.sub(lambda found: f"]({BESIDE[found[1]]}", markdown)


def on_post_build(config: MkDocsConfig) -> None:
    """Raises PluginError, which names what would be fetched from elsewhere."""
    found = [
        f"{page.name}: {address}"
        for page in sorted(Path(config.site_dir).rglob("*.html"))
        for address in fetched(page.read_text())
    ]
    if found:
        raise PluginError(f"to be fetched from elsewhere: {', '.join(found)}")


def fetched(html: str) -> list[str]:
    """What a browser asks other hosts for, to show the page."""
    return [first or second for first, second in _FETCHED.findall(html)]
