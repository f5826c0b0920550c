// "Test connection": sends the unsaved form and shows each finding as it arrives.
"use strict";

(() => {
    const trial = document.getElementById("trial");
    if (!trial) return;
    const form = trial.closest("form");
    const button = document.getElementById("trial-run");
    const status = document.getElementById("trial-status");
    const findings = document.getElementById("trial-findings");
    const SYMBOLS = { failed: "error", note: "info", well: "check_circle" };

    function show({ text, failed }) {
        const isNote = text.startsWith("note: ");
        const kind = failed ? "failed" : isNote ? "note" : "well";
        const item = document.createElement("li");
        item.className = `trial-${kind}`;
        const symbol = document.createElement("span");
        symbol.className = "material-symbols-outlined";
        symbol.setAttribute("aria-hidden", "true");
        symbol.textContent = SYMBOLS[kind];
        const words = document.createElement("span");
        const head = { failed: "Failed: ", note: "Note: ", well: "" }[kind];
        if (head) words.append(Object.assign(document.createElement("b"), { textContent: head }));
        words.append(isNote ? text.slice(6) : text);
        item.append(symbol, words);
        findings.append(item);
        item.scrollIntoView({ block: "nearest" });
    }

    async function read(answer, take) {
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        let rest = "";
        for (;;) {
            const { value, done } = await reader.read();
            if (done) return;
            const lines = (rest + value).split("\n");
            rest = lines.pop();
            lines.filter(Boolean).forEach((line) => take(JSON.parse(line)));
        }
    }

    async function ask() {
        const answer = await fetch(trial.dataset.url, {
            method: "POST", body: new FormData(form), credentials: "same-origin", redirect: "manual",
        });
        if (answer.type === "opaqueredirect") return "Your session has ended. Log in again.";
        if (!answer.ok) return answer.status === 403 ? "Permission denied, or the page has expired. Reload the page." : `The server responded with status ${answer.status}.`;
        let failures = 0;
        let end = null;
        await read(answer, (line) => {
            if (line.end) end = line;
            else show(line);
            if (line.failed) failures += 1;
        });
        if (!end) return "The test was interrupted.";
        if (end.works) return "The test passed.";
        return failures === 1 ? "1 check failed." : `${failures} checks failed.`;
    }

    async function run() {
        if (button.getAttribute("aria-disabled") === "true") return;
        // A disabled button would lose the focus.
        button.setAttribute("aria-disabled", "true");
        findings.replaceChildren();
        status.textContent = "Testing…";
        try {
            status.textContent = await ask();
        } catch {
            status.textContent = "The server does not respond.";
        } finally {
            button.removeAttribute("aria-disabled");
            (findings.lastElementChild || status).scrollIntoView({ block: "nearest" });
        }
    }

    button.addEventListener("click", run);
    trial.hidden = false;
})();
