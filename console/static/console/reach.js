// What unfold leaves to the mouse and to the eye, for keyboards and screen readers: what can be
// clicked is a button with a name, the page has a main part, and there is a way past the side bar.
"use strict";

(() => {
    const SYMBOL = ".material-symbols-outlined";
    const CLICKED = "[x-on\\:click]:not(a[href], button, input, select, textarea, label, summary, [class*='inset-0'])";
    const REACHED = "a[href], button, input:not([type=hidden]), select, textarea, [tabindex='0']";
    // What has a picture only, by what it does.
    const NAMES = [
        ["[x-on\\:click*='sidebarToggle']", "Side bar"],
        ["[x-on\\:click*='openTheme']", "Light or dark"],
        ["[x-on\\:click*='openRelatedWidgetWrapper']", "Add, change or view"],
        ["[x-on\\:click*='openTabsDropdown']", "More tabs"],
        ["#searchbar-submit", "Search"],
        ["a[href='/admin/']", "Home"],
    ];

    function words(element) {
        const copy = element.cloneNode(true);
        copy.querySelectorAll(SYMBOL).forEach((symbol) => symbol.remove());
        return copy.matches(SYMBOL) ? "" : copy.textContent.trim();
    }

    function name(control) {
        if (control.getAttribute("aria-label") || control.title || words(control)) return;
        const known = NAMES.find(([selector]) => control.matches(selector));
        control.setAttribute("aria-label", known ? known[1] : control.textContent.trim().replaceAll("_", " "));
    }

    // A field that has nothing but a placeholder, by that and the heading above it.
    function label(field) {
        if (field.labels?.length || field.getAttribute("aria-label") || !field.placeholder) return;
        const heading = field.closest("div:has(> h3)")?.querySelector("h3").textContent.trim();
        field.setAttribute("aria-label", [heading, field.placeholder].filter(Boolean).join(": "));
    }

    // A table that is moved sideways, and has nothing in it to go to.
    function makeScrollable(box) {
        if (box.querySelector(REACHED) || !box.querySelector("table")) return;
        box.tabIndex = 0;
        box.setAttribute("role", "region");
        box.setAttribute("aria-label", "Table");
    }

    // The menu or panel that it opens, if it does.
    function opened(control) {
        if (control.matches(".filter-open-button")) return document.getElementById("changelist-filter");
        return control.parentElement.querySelector(":scope > nav");
    }

    function makeButton(control) {
        control.setAttribute("role", "button");
        control.tabIndex = 0;
        control.dataset.reach = "";
        const panel = opened(control);
        if (!panel) return;
        name(control);
        if (panel.nodeName === "NAV") panel.setAttribute("aria-label", control.getAttribute("aria-label") || words(control));
        const tell = () => control.setAttribute("aria-expanded", String(panel.style.display !== "none"));
        new MutationObserver(tell).observe(panel, { attributes: true, attributeFilter: ["style"] });
        tell();
        panel.addEventListener("keydown", (event) => {
            if (event.key !== "Escape") return;
            setTimeout(() => {
                if (panel.nodeName === "NAV" && panel.checkVisibility()) control.click();
                control.focus();
            });
        });
    }

    function mend(root) {
        root.querySelectorAll(CLICKED).forEach(makeButton);
        root.querySelectorAll("input, textarea").forEach(label);
        root.querySelectorAll(".overflow-x-auto").forEach(makeScrollable);
        root.querySelectorAll(".help-tooltip[aria-label]").forEach((help) => help.setAttribute("role", "img"));
        for (const symbol of root.querySelectorAll(SYMBOL)) {
            const control = symbol.closest("a, button, [data-reach]");
            if (control) name(control);
            if (control !== symbol) symbol.setAttribute("aria-hidden", "true");
        }
    }

    function press(event) {
        if (!["Enter", " "].includes(event.key) || !event.target.matches("[data-reach]")) return;
        event.preventDefault();
        event.target.click();
        const panel = opened(event.target);
        if (!panel) return;
        // Alpine shows it a moment later.
        setTimeout(() => {
            const first = [...panel.querySelectorAll(REACHED)].find((one) => one.checkVisibility());
            if (first) first.focus();
        }, 100);
    }

    function wayPast(main) {
        const link = document.createElement("a");
        link.className = "reach-past";
        link.href = "#content";
        link.textContent = "Skip to the content";
        document.getElementById("content").tabIndex = -1;
        link.addEventListener("click", (event) => {
            event.preventDefault();
            document.getElementById("content").focus();
        });
        main.setAttribute("role", "main");
        document.body.prepend(link);
    }

    document.addEventListener("DOMContentLoaded", () => {
        mend(document.body);
        const [side, whole] = [document.getElementById("main"), document.getElementById("page")];
        if (side) wayPast(side);
        else if (whole) whole.setAttribute("role", "main");
        document.addEventListener("keydown", press);
        new MutationObserver((changes) => {
            for (const { addedNodes } of changes)
                for (const node of addedNodes) if (node.nodeType === Node.ELEMENT_NODE && node.parentElement) mend(node.parentElement);
        }).observe(document.body, { childList: true, subtree: true });
    });
})();
