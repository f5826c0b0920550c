// Home refreshes itself: the fragment is fetched again, and only what differs is touched, so that
// nothing flickers and focus, scrolling and opened tables stay. Hidden or paused, it rests.
"use strict";

(() => {
    const EVERY = 8000;
    const home = document.getElementById("home");
    const button = document.getElementById("home-pause");
    const status = document.getElementById("home-status");
    let isPaused = false;
    let timer = null;
    let shownAt = new Date();

    // Elements with an id are found again wherever they have moved; others by their place.
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

    function say(text) {
        if (status.textContent !== text) status.textContent = text;
    }

    async function refresh() {
        let answer;
        try {
            answer = await fetch(home.dataset.fragment, { credentials: "same-origin", redirect: "manual" });
        } catch {
            answer = null;
        }
        if (answer && answer.type === "opaqueredirect") {
            location.reload(); // the session has ended: the login page says so
            return;
        }
        if (!answer || !answer.ok) {
            say(`The server does not answer. What is shown is of ${shownAt.toLocaleTimeString()}.`);
            return;
        }
        const wanted = document.createElement("div");
        wanted.innerHTML = await answer.text();
        if (isPaused) return;
        children(home, wanted);
        shownAt = new Date();
        say("");
    }

    function schedule() {
        clearTimeout(timer);
        timer = null;
        if (isPaused || document.hidden) return;
        timer = setTimeout(async () => {
            await refresh();
            schedule();
        }, EVERY);
    }

    button.addEventListener("click", () => {
        isPaused = !isPaused;
        button.setAttribute("aria-pressed", String(isPaused));
        say(isPaused ? `Paused at ${shownAt.toLocaleTimeString()}.` : "");
        if (isPaused) schedule();
        else refresh().then(schedule);
    });
    document.addEventListener("visibilitychange", () => {
        if (document.hidden || isPaused) schedule();
        else refresh().then(schedule);
    });
    button.hidden = false;
    schedule();
})();
