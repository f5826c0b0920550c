"""The Content Security Policy is in force, and no page of the console violates it."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.anywhere

#: A script within the page, and one in an attribute: whether either ran, once both are refused.
_GET_IN = """() => new Promise(resolve => {
    const refused = new Set();
    document.addEventListener("securitypolicyviolation", one => {
        refused.add(one.violatedDirective);
        if (refused.size === 2) resolve("stolen" in window);
    });
    const script = document.createElement("script");
    script.textContent = "window.stolen = 1";
    document.body.append(script);
    document.body.insertAdjacentHTML("beforeend", "<button onclick='window.stolen = 1'>x</button>");
    document.body.lastElementChild.click();
})"""


def test_the_apis_documentation_is_drawn_and_tries_a_request(visitor):
    visitor.log_in("CDC Administrator")

    visitor.page.goto("/api/docs/")

    operation = visitor.page.locator("#operations-status-status_retrieve")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".live-responses-table")).to_contain_text("200")


def test_an_injected_script_does_not_run(visitor):
    for path in ("/admin/login/", "/api/docs/"):
        visitor.page.goto(path)
        with visitor.refused("Content Security Policy"):
            ran = visitor.page.evaluate(_GET_IN)

        assert ran is False, path
