// The parts of the connection form that depend on the kind of login and that Alpine does not
// handle: it marks required fields and hides headings without visible fields.
"use strict";

(() => {
    const auth = document.querySelector("select[data-kinds]");
    if (!auth) return;
    const kinds = JSON.parse(auth.dataset.kinds);
    const ofAKind = new Set(Object.values(kinds).flatMap((kind) => kind.used_fields));

    function mark(name, isRequired) {
        const label = document.querySelector(`label[for="id_${name}"]`);
        const field = document.getElementById(`id_${name}`);
        if (!label || !field) return;
        label.querySelector(".connection-needed")?.remove();
        field.removeAttribute("aria-required");
        if (!isRequired) return;
        const star = Object.assign(document.createElement("span"), { className: "connection-needed", textContent: "*" });
        star.setAttribute("aria-hidden", "true");
        label.append(star);
        field.setAttribute("aria-required", "true");
    }

    function update() {
        const { required, used_fields: used } = kinds[auth.value] || { required: [], used_fields: [...ofAKind] };
        ofAKind.forEach((name) => mark(name, required.includes(name)));
        for (const fieldset of auth.form.querySelectorAll("fieldset.module")) {
            const hidden = [...fieldset.querySelectorAll(".field-line")].every((line) =>
                [...ofAKind].some((name) => line.classList.contains(`field-${name}`) && !used.includes(name)));
            fieldset.classList.toggle("connection-empty", hidden);
        }
    }

    auth.addEventListener("change", update);
    update();
})();
