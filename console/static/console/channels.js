// The channel field as a combobox: it offers the channels of the connection's org, and accepts any text.
"use strict";

(() => {
    const input = document.querySelector("[data-channels]");
    const connection = input && document.getElementById(input.dataset.channelsOf);
    if (!connection) return;
    const MOST = 200;
    let groups = [];
    let options = [];
    let active = -1;
    let asked = 0;

    function make(tag, attributes, ...children) {
        const element = document.createElement(tag);
        for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
        element.append(...children);
        return element;
    }

    const box = make("div", { class: "connecting-combo" });
    const list = make("div", { id: "channels-list", role: "listbox", "aria-label": "Channels of the org", class: "connecting-list", hidden: "" });
    const status = make("p", { id: "channels-status", role: "status", class: "connecting-status" });
    const opener = make("button", { type: "button", tabindex: "-1", "aria-label": "Show channels", "aria-controls": list.id, class: "connecting-opener", hidden: "" },
        make("span", { class: "material-symbols-outlined", "aria-hidden": "true" }, "expand_more"));
    input.replaceWith(box);
    box.append(input, opener, list);
    box.after(status);
    for (const [name, value] of Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": list.id, autocomplete: "off", spellcheck: "false" }))
        input.setAttribute(name, value);
    input.setAttribute("aria-describedby", [input.getAttribute("aria-describedby"), status.id].filter(Boolean).join(" "));

    function matches(wanted) {
        const text = wanted.trim().toLowerCase();
        let left = MOST;
        return groups.map(({ label, channels }) => {
            const found = channels.filter((offer) => `${offer.channel} ${offer.label}`.toLowerCase().includes(text)).slice(0, left);
            left -= found.length;
            return { label, channels: found };
        }).filter(({ channels }) => channels.length);
    }

    function option({ channel, label }) {
        const made = make("div", { id: `channel-${options.length}`, role: "option", "aria-selected": String(channel === input.value), "data-channel": channel, class: "connecting-option" },
            make("span", { class: "connecting-channel" }, channel), make("span", {}, label));
        options.push(made);
        return made;
    }

    function isOpen() { return !list.hidden; }

    function open(wanted = "") {
        options = [];
        list.replaceChildren(...matches(wanted).map(({ label, channels }) =>
            make("div", { role: "group", "aria-label": label }, make("div", { class: "connecting-heading", "aria-hidden": "true" }, label), ...channels.map(option))));
        list.hidden = options.length === 0;
        input.setAttribute("aria-expanded", String(isOpen()));
        move(wanted ? -1 : options.findIndex((made) => made.dataset.channel === input.value));
    }

    function close() {
        list.hidden = true;
        input.setAttribute("aria-expanded", "false");
        move(-1);
    }

    function move(to) {
        options[active]?.classList.remove("connecting-active");
        active = to;
        const now = options[active];
        if (!now) return input.removeAttribute("aria-activedescendant");
        now.classList.add("connecting-active");
        input.setAttribute("aria-activedescendant", now.id);
        now.scrollIntoView({ block: "nearest" });
    }

    function choose(chosen) {
        input.value = chosen.dataset.channel;
        input.dispatchEvent(new Event("change", { bubbles: true }));
        close();
    }

    function press(event) {
        const last = options.length - 1;
        if (["ArrowDown", "ArrowUp"].includes(event.key)) {
            event.preventDefault();
            if (!isOpen()) return open();
            const down = event.key === "ArrowDown";
            move(down ? (active >= last ? 0 : active + 1) : active <= 0 ? last : active - 1);
        } else if (event.key === "Enter" && isOpen() && options[active]) {
            event.preventDefault();
            choose(options[active]);
        } else if (event.key === "Escape" && isOpen()) {
            event.preventDefault();
            event.stopPropagation();
            close();
        } else if (event.key === "Tab") close();
    }

    function report({ notes, problem }) {
        const count = groups.reduce((sum, { channels }) => sum + channels.length, 0);
        opener.hidden = count === 0;
        status.classList.toggle("connecting-problem", Boolean(problem));
        status.textContent = problem
            ? `Could not list the org's channels: ${problem.replace(/\.*$/, ".")} You can still type a channel.`
            : [`The org offers ${count} channels.`, ...notes].join(" ");
    }

    async function ask() {
        const mine = ++asked;
        groups = [];
        close();
        opener.hidden = true;
        status.classList.remove("connecting-problem");
        if (!connection.value) {
            status.textContent = "Choose a connection to see its channels.";
            return;
        }
        status.textContent = "Loading the org's channels…";
        const body = new FormData();
        body.set("connection", connection.value);
        body.set("csrfmiddlewaretoken", input.form.elements.csrfmiddlewaretoken.value);
        let offered;
        try {
            const answer = await fetch(input.dataset.channels, { method: "POST", body, credentials: "same-origin", redirect: "error" });
            offered = answer.ok ? await answer.json() : { problem: `the server answered with ${answer.status}` };
        } catch {
            offered = { problem: "the server does not respond" };
        }
        if (mine !== asked) return;
        groups = offered.groups || [];
        report(offered);
    }

    input.addEventListener("keydown", press);
    input.addEventListener("input", () => open(input.value));
    input.addEventListener("click", () => (isOpen() ? close() : open()));
    input.addEventListener("blur", close);
    list.addEventListener("mousedown", (event) => event.preventDefault());
    list.addEventListener("click", (event) => {
        const chosen = event.target.closest("[role=option]");
        if (chosen) choose(chosen);
    });
    opener.addEventListener("mousedown", (event) => event.preventDefault());
    opener.addEventListener("click", () => {
        input.focus();
        if (isOpen()) close();
        else open();
    });
    // Django selects a newly added connection through jQuery, whose events native listeners do not
    // receive. It also sends one event on load, when nothing has changed.
    let last = connection.value;
    django.jQuery(connection).on("change", () => {
        if (connection.value === last) return;
        last = connection.value;
        ask();
    });
    if (input.dataset.channelsOn === "focus") input.addEventListener("focus", ask, { once: true });
    else ask();
})();
