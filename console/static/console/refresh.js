// Parts of a page that refresh themselves: <div data-refresh="address">. The fragment at that address
// is fetched repeatedly, and only differences are applied, so that nothing flickers and focus,
// scrolling and opened tables stay. A hidden or paused page does not refresh.
//   data-refresh-every    on a part: seconds between two refreshes, 8 by default
//   data-refresh-done     on any element of a part: the part is final and stops refreshing
//   data-refresh-status   once on a page, a role="status": shows when a fetch fails
//   data-refresh-pause    once on a page, a hidden button that pauses and resumes; shown by this script
"use strict";

(() => {
    // Elements with an id are matched wherever they have moved, others by their position.
    function match(now, wanted) {
        const isSame = (node) =>
            node && node.nodeType === wanted.nodeType && node.nodeName === wanted.nodeName && (node.id || "") === (wanted.id || "");
        if (isSame(now)) return now;
        const id = wanted.nodeType === Node.ELEMENT_NODE && wanted.id;
        const elsewhere = id && document.getElementById(id);
        return isSame(elsewhere) && now && elsewhere.parentNode === now.parentNode ? elsewhere : null;
    }

    function attributes(now, wanted) {
        for (const { name, value } of wanted.attributes) {
            if (now.getAttribute(name) !== value) now.setAttribute(name, value);
        }
        for (const { name } of [...now.attributes]) {
            const isOurs = name === "open" && now.nodeName === "DETAILS";
            if (!wanted.hasAttribute(name) && !isOurs) now.removeAttribute(name);
        }
    }

    function children(now, wanted) {
        let place = now.firstChild;
        for (const node of [...wanted.childNodes]) {
            const found = match(place, node);
            if (!found) {
                now.insertBefore(node, place);
                continue;
            }
            if (found !== place) now.insertBefore(found, place);
            else place = place.nextSibling;
            if (found.nodeType === Node.ELEMENT_NODE) {
                attributes(found, node);
                children(found, node);
            } else if (found.nodeValue !== node.nodeValue) {
                found.nodeValue = node.nodeValue;
            }
        }
        while (place) {
            const next = place.nextSibling;
            place.remove();
            place = next;
        }
    }

    const status = document.querySelector("[data-refresh-status]");
    const button = document.querySelector("[data-refresh-pause]");
    let isPaused = false;

    function say(text) {
        if (status && status.textContent !== text) status.textContent = text;
    }

    class Part {
        constructor(element) {
            this.element = element;
            this.every = 1000 * Number(element.dataset.refreshEvery || 8);
            this.timer = null;
            this.shownAt = new Date();
        }

        get isDone() {
            return Boolean(this.element.querySelector("[data-refresh-done]"));
        }

        // `cache`: "reload" after the user was on another page and may have changed something there.
        async refresh(cache = "default") {
            let answer = null;
            let text = "";
            try {
                answer = await fetch(this.element.dataset.refresh, { cache, credentials: "same-origin", redirect: "manual" });
                text = await answer.text();
            } catch {
                answer = null; // the response may also be cut off
            }
            if (answer && answer.type === "opaqueredirect") {
                location.reload(); // the session has ended: show the login page
                return;
            }
            if (!answer || !answer.ok) {
                say(`The server does not respond. Showing data from ${this.shownAt.toLocaleTimeString()}.`);
                return;
            }
            const wanted = document.createElement("div");
            wanted.innerHTML = text;
            if (isPaused) return;
            children(this.element, wanted);
            this.shownAt = new Date();
            say("");
        }

        schedule() {
            clearTimeout(this.timer);
            if (button) button.hidden = parts.every((part) => part.isDone);
            if (isPaused || document.hidden || this.isDone) return;
            this.timer = setTimeout(() => this.refresh().then(() => this.schedule()), this.every);
        }

        resume() {
            if (isPaused || document.hidden || this.isDone) this.schedule();
            else this.refresh("reload").then(() => this.schedule());
        }
    }

    const parts = [...document.querySelectorAll("[data-refresh]")].map((element) => new Part(element));

    if (button) {
        button.addEventListener("click", () => {
            isPaused = !isPaused;
            button.setAttribute("aria-pressed", String(isPaused));
            say(isPaused ? `Paused at ${new Date().toLocaleTimeString()}.` : "");
            for (const part of parts) part.resume();
        });
    }
    document.addEventListener("visibilitychange", () => {
        for (const part of parts) part.resume();
    });
    for (const part of parts) part.schedule();
})();
