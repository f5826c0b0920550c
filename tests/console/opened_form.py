"""Opens a form of the console, and returns the fields that a browser would post from it."""

from html.parser import HTMLParser
from typing import Any

from django.test import Client


class _Inputs(HTMLParser):
    """Collects what a browser would post of the page's large form."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: dict[str, Any] = {}
        self._form = self._select = self._area = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self._form = given.get("id") or ""
        if tag == "select":
            self._select = given.get("name") or ""
        if not self._form.endswith("_form"):
            return
        if tag == "textarea" and given.get("name"):
            self._area = given["name"] or ""
            self.found[self._area] = [""]
        if tag == "option" and "selected" in given:
            self.found.setdefault(self._select, []).append(given.get("value") or "")
        is_box = given.get("type") == "checkbox"
        if tag == "input" and given.get("name") and (not is_box or "checked" in given):
            value = given.get("value") or ("on" if is_box else "")
            self.found.setdefault(given["name"] or "", []).append(value)

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._area:
            text = self.found[self._area][0].removeprefix("\n")
            self.found[self._area] = [text.replace("\n", "\r\n")]
            self._area = ""

    def handle_data(self, data: str) -> None:
        if self._area:
            self.found[self._area][0] += data


def posted(html: str) -> dict[str, Any]:
    """Return what a browser posts of a page if its user changes nothing."""
    found = _Inputs(html).found
    for button in ("_save", "_addanother", "_continue"):
        found.pop(button, None)
    return found


def opened(client: Client, page: str) -> dict[str, Any]:
    """Open a form, and return what a browser posts if its user changes nothing."""
    return posted(client.get(page).content.decode())
