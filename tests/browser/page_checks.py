"""Checks for every page of the console: it is accessible, and fits the width of a phone."""

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, ViewportSize

WIDE: ViewportSize = {"width": 1440, "height": 900}
NARROW: ViewportSize = {"width": 390, "height": 844}
SERIOUS = ("serious", "critical")

_Rules = dict[str, list[str]]
#: In dark mode only colours differ.
_COLOURS: _Rules = {"runOnly": ["color-contrast", "link-in-text-block"]}
#: Sets the mode as the console does, which reads the system's setting once, at load.
_IN_THE_DARK = """dark => {
    document.documentElement.classList.toggle('dark', dark);
    for (const one of document.getAnimations())
        if (Number.isFinite(one.effect.getComputedTiming().endTime)) one.finish();
}"""
_EVERYTHING: _Rules = {}


def flaws(page: Page) -> list[str]:
    """Return the page's flaws in both widths, in light and dark mode."""
    found = []
    for size in (WIDE, NARROW):
        page.set_viewport_size(size)
        for scheme, rules in (("light", _EVERYTHING), ("dark", _COLOURS)):
            page.evaluate(_IN_THE_DARK, scheme == "dark")
            where = f"{size['width']} px, {scheme}: "
            found += [where + flaw for flaw in _violations(page, rules)]
        found += [f"{size['width']} px: {flaw}" for flaw in _too_wide(page)]
    page.set_viewport_size(WIDE)
    page.evaluate(_IN_THE_DARK, False)
    return found


def _violations(page: Page, rules: _Rules) -> list[str]:
    """Return axe-core's serious violations: the rule and the element."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    answer = page.evaluate("options => axe.run(options)", {"resultTypes": ["violations"], **rules})
    return [
        f"{rule['id']} ({rule['impact']}): {node['target']} {node['html'][:200]}"
        for rule in answer["violations"]
        for node in rule["nodes"]
        if rule["impact"] in SERIOUS
    ]


def _too_wide(page: Page) -> list[str]:
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    return [f"the page scrolls sideways by {wide} px"] if wide > 0 else []
