// Accessibility of unfold's pages for keyboards and screen readers: clickable elements become named
// buttons, the page gets a main landmark, and a link skips the side bar.
"use strict";

(() => {
    const SYMBOL = ".material-symbols-outlined";
    const CLICKED = "[x-on\\:click]:not(a[href], button, input, select, textarea, label, summary, [class*='inset-0'])";
    const REACHED = "a[href], button, input:not([type=hidden]), select, textarea, [tabindex='0']";
    // Names of controls that have an icon only.
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

    // Label a field that has only a placeholder, by the placeholder and the heading above.
    function label(field) {
        if (field.labels?.length || field.getAttribute("aria-label") || !field.placeholder) return;
        const heading = field.closest("div:has(> h3)")?.querySelector("h3").textContent.trim();
        field.setAttribute("aria-label", [heading, field.placeholder].filter(Boolean).join(": "));
    }

    // Make a table that scrolls sideways focusable, unless it contains a focusable element.
    function makeScrollable(box) {
        if (box.querySelector(REACHED) || !box.querySelector("table")) return;
        box.tabIndex = 0;
        box.setAttribute("role", "region");
        box.setAttribute("aria-label", "Table");
    }

    // The menu or panel that the control opens, if any.
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
        const update = () => control.setAttribute("aria-expanded", String(panel.style.display !== "none"));
        new MutationObserver(update).observe(panel, { attributes: true, attributeFilter: ["style"] });
        update();
        panel.addEventListener("keydown", (event) => {
            if (event.key !== "Escape") return;
            setTimeout(() => {
                if (panel.nodeName === "NAV" && panel.checkVisibility()) control.click();
                control.focus();
            });
        });
    }

    function enhance(root) {
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
        // Alpine shows the panel a moment later.
        setTimeout(() => {
            const first = [...panel.querySelectorAll(REACHED)].find((element) => element.checkVisibility());
            if (first) first.focus();
        }, 100);
    }

    function addSkipLink(main) {
        const link = document.createElement("a");
        link.className = "reach-past";
        link.href = "#content";
        link.textContent = "Skip to main content";
        document.getElementById("content").tabIndex = -1;
        link.addEventListener("click", (event) => {
            event.preventDefault();
            document.getElementById("content").focus();
        });
        main.setAttribute("role", "main");
        document.body.prepend(link);
    }

    document.addEventListener("DOMContentLoaded", () => {
        enhance(document.body);
        const [side, whole] = [document.getElementById("main"), document.getElementById("page")];
        if (side) addSkipLink(side);
        else if (whole) whole.setAttribute("role", "main");
        document.addEventListener("keydown", press);
        new MutationObserver((changes) => {
            for (const { addedNodes } of changes)
                for (const node of addedNodes) if (node.nodeType === Node.ELEMENT_NODE && node.parentElement) enhance(node.parentElement);
        }).observe(document.body, { childList: true, subtree: true });
    });
})();
