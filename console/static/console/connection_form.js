// Of a connection's form, what depends on the kind of authentication and Alpine does not do: which
// fields it cannot do without, and headings that stand over nothing.
"use strict";

(() => {
    const auth = document.querySelector("select[data-kinds]");
    if (!auth) return;
    const kinds = JSON.parse(auth.dataset.kinds);
    const ofAKind = new Set(Object.values(kinds).flatMap(({ heeded }) => heeded));

    function mark(name, isNeeded) {
        const label = document.querySelector(`label[for="id_${name}"]`);
        const field = document.getElementById(`id_${name}`);
        if (!label || !field) return;
        label.querySelector(".connection-needed")?.remove();
        field.removeAttribute("aria-required");
        if (!isNeeded) return;
        const star = Object.assign(document.createElement("span"), { className: "connection-needed", textContent: "*" });
        star.setAttribute("aria-hidden", "true");
        label.append(star);
        field.setAttribute("aria-required", "true");
    }

    function fit() {
        const { required, heeded } = kinds[auth.value] || { required: [], heeded: [...ofAKind] };
        ofAKind.forEach((name) => mark(name, required.includes(name)));
        for (const fieldset of auth.form.querySelectorAll("fieldset.module")) {
            const hidden = [...fieldset.querySelectorAll(".field-line")].every((line) =>
                [...ofAKind].some((name) => line.classList.contains(`field-${name}`) && !heeded.includes(name)));
            fieldset.classList.toggle("connection-empty", hidden);
        }
    }

    auth.addEventListener("change", fit);
    fit();
})();
