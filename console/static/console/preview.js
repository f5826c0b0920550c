// The preview of a handler mapping: which recent changes the unsaved form would match.
"use strict";

(() => {
    const PAUSE = 500;
    const area = document.querySelector("[data-preview]");
    if (!area) return;
    const form = area.closest("form");
    const button = form.querySelector("[data-preview-button]");
    const summary = form.querySelector("[data-preview-summary]");
    let asked = null;
    let timer = null;

    async function show() {
        clearTimeout(timer);
        asked?.abort();
        const mine = (asked = new AbortController());
        try {
            const answer = await fetch(area.dataset.preview, {
                method: "POST",
                body: new FormData(form),
                credentials: "same-origin",
                redirect: "manual",
                signal: mine.signal,
            });
            if (!answer.ok) throw new Error(String(answer.status));
            area.innerHTML = await answer.text();
            summary.textContent = area.querySelector("[data-summary]").textContent;
        } catch {
            if (mine.signal.aborted) return;
            area.replaceChildren();
            summary.textContent = "The server does not respond. Try again, or log in again in another tab.";
        }
    }

    function later() {
        clearTimeout(timer);
        timer = setTimeout(show, PAUSE);
    }

    form.addEventListener("input", later);
    form.addEventListener("change", later);
    button.addEventListener("click", show);
    show();
})();
