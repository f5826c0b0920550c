"""A user of the console in a browser, which also collects errors behind the page."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from django.contrib.auth.models import Group, User
from playwright.sync_api import Browser, Locator, expect

from tests.browser.page_checks import WIDE, flaws
from tests.processes import Process

#: The name of what has the focus, as it is read out; and whether an eye finds it.
_FOCUSED = """() => {
    const on = document.activeElement;
    const label = on.getAttribute("aria-label") || on.innerText || on.labels?.[0]?.innerText;
    return (label || "").trim();
}"""
_SHOWS_FOCUS = """() => {
    const on = document.activeElement;
    return [on, on.parentElement].some((one) => {
        const { outlineStyle, outlineWidth } = getComputedStyle(one);
        return outlineStyle !== "none" && outlineWidth !== "0px";
    });
}"""
PASSWORD = "correct horse battery staple"
#: Milliseconds; long, for a machine with much other work.
PATIENCE = 60_000
expect.set_options(timeout=PATIENCE)


class Visitor:
    def __init__(self, browser: Browser, console: str, server: Process) -> None:
        self._console, self._server = console, server
        self._context = browser.new_context(
            base_url=console, viewport=WIDE, reduced_motion="reduce", locale="en-GB"
        )
        self.page = self._context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self._troubles: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self._note(f"script: {error}"))
        self.page.on("request", self._asked)
        self.page.on("response", self._answered)

    def log_in(self, role: str) -> User:
        """Log in as a new user with that role."""
        user = User.objects.create_user(
            role.removeprefix("CDC ").lower(), password=PASSWORD, is_staff=True
        )
        user.groups.add(Group.objects.get(name=role))
        self.page.goto("/admin/")
        self.page.get_by_label("Username").fill(user.username)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page).to_have_title(re.compile("Home"))
        return user

    def look(self, *texts: str) -> Locator:
        """Check that the page shows these texts, is accessible and had no errors."""
        main = self.page.locator("body")
        for text in texts:
            expect(main).to_contain_text(text)
        found = flaws(self.page)
        assert not found, "\n".join([self.page.url, *found])
        assert not self._troubles, self._troubles
        return main

    def go_to(self, name: str) -> None:
        """Follow a link of the side bar; a number beside the name belongs to the link."""
        side = self.page.get_by_role("navigation").first
        side.get_by_role("link", name=re.compile(rf"^{name}( \d+)?$")).last.click()

    def field(self, name: str) -> Locator:
        """Return the field with that label; a star marks a required one."""
        return self.page.get_by_label(re.compile(rf"^{name}\s*\*?$"))

    def tab_to(self, name: str, most: int = 60) -> None:
        """Press Tab until the element with that name has the focus, and check that it shows it."""
        for _ in range(most):
            self.page.keyboard.press("Tab")
            if self.page.evaluate(_FOCUSED).startswith(name):
                assert self.page.evaluate(_SHOWS_FOCUS), (
                    f"{name} does not show that it has the focus"
                )
                return
        raise AssertionError(f"{name!r} is not reached by the keyboard")

    def press(self, key: str) -> None:
        """Press a key that leads to another page."""
        with self.page.expect_navigation():
            self.page.keyboard.press(key)

    @contextmanager
    def refused(self, said: int | str) -> Iterator[None]:
        """Expect troubles inside the block, each of which contains `said`, and forget them."""
        known = len(self._troubles)
        yield
        new = self._troubles[known:]
        assert new, "it was not refused"
        assert all(str(said) in one for one in new), new
        del self._troubles[known:]

    def leave(self) -> None:
        self._context.close()
        assert not self._troubles, self._troubles

    def _note(self, trouble: str) -> None:
        if trouble not in self._troubles:
            self._troubles.append(trouble)

    def _heard(self, message) -> None:
        if message.type in ("error", "warning"):
            self._note(f"console: {message.text}")

    def _asked(self, request) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("data", "blob"):
            return
        if f"{address.scheme}://{address.netloc}" != self._console:
            self._note(f"asked another host: {request.url}")

    def _answered(self, response) -> None:
        if response.status >= 400:
            log = self._server.output[-2000:] if response.status >= 500 else ""
            self._note(f"{response.status} for {response.url} {log}")
