// Edits a condition as rows of field, operator and value. The JSON in the text area is what is saved;
// a condition that rows cannot express is edited as JSON.
"use strict";

(() => {
    const WITH_VALUE = ["equals", "in", "changed_to"];
    const TEXT_TYPES = ["text", "number"];
    const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

    // {type, texts} of a list of JSON values of one type; undefined if rows cannot express them.
    function typed(values, json) {
        const types = new Set(values.map((value) => (typeof value === "string" ? "text" : typeof value === "number" ? "number" : String(value))));
        if (types.size !== 1) return undefined;
        const [type] = types;
        if (!["text", "number", "true", "false", "null"].includes(type)) return undefined;
        const texts = TEXT_TYPES.includes(type) ? values.map(String) : [];
        // Digits that JavaScript's numbers do not hold, and line breaks, which separate values.
        const isExact = type !== "number" || texts.every((text) => json.includes(text) && NUMBER.test(text));
        return isExact && !texts.some((text) => /[\r\n]/.test(text)) ? { type, texts } : undefined;
    }

    // A row of a leaf of the condition; undefined if a row cannot express it.
    function rowOf(leaf, json) {
        const keys = leaf && typeof leaf === "object" ? Object.keys(leaf).filter((key) => key !== "field") : [];
        if (keys.length !== 1 || typeof leaf.field !== "string") return undefined;
        const [operator] = keys;
        const value = leaf[operator];
        if (operator === "exists" && typeof value === "boolean")
            return { field: leaf.field, operator: value ? "exists" : "missing", type: "text", texts: [] };
        if (!WITH_VALUE.includes(operator) || (operator === "in") !== Array.isArray(value)) return undefined;
        const known = typed(operator === "in" ? value : [value], json);
        if (!known || (operator === "in" && !TEXT_TYPES.includes(known.type))) return undefined;
        return { field: leaf.field, operator, ...known };
    }

    // {mode, rows} of a condition as JSON; undefined if rows cannot express it.
    function parse(json) {
        if (!json.trim()) return { mode: "all", rows: [] };
        let condition;
        try {
            condition = JSON.parse(json);
        } catch {
            return undefined;
        }
        if (!condition || typeof condition !== "object" || Array.isArray(condition)) return undefined;
        const keys = Object.keys(condition);
        if (!keys.length) return { mode: "all", rows: [] };
        const mode = keys.length === 1 && ["all", "any"].includes(keys[0]) ? keys[0] : undefined;
        const leaves = mode ? condition[mode] : [condition];
        const rows = Array.isArray(leaves) ? leaves.map((leaf) => rowOf(leaf, json)) : [undefined];
        return rows.length && rows.every(Boolean) ? { mode: mode || "all", rows } : undefined;
    }

    function leafText({ field, operator, type, texts }) {
        const value = (text) => (type === "number" && NUMBER.test(text) ? text : JSON.stringify(text));
        let test;
        if (operator === "exists" || operator === "missing") test = `"exists": ${operator === "exists"}`;
        else if (operator === "in") test = `"in": [${texts.map(value).join(", ")}]`;
        else test = `"${operator}": ${TEXT_TYPES.includes(type) ? value(texts[0] ?? "") : type}`;
        return `{"field": ${JSON.stringify(field)}, ${test}}`;
    }

    function toJson({ mode, rows }) {
        const leaves = rows.map(leafText);
        if (leaves.length < 2) return leaves[0] || "";
        return `{"${mode}": [\n  ${leaves.join(",\n  ")}\n]}`;
    }

    function edit(root) {
        const part = (name, within = root) => within.querySelector(`[data-${name}]`);
        const json = part("json-editor").querySelector("textarea");
        const [rowsEditor, list, mode, note] = ["rows-editor", "rows", "mode", "note"].map((name) => part(name));
        const [addButton, switchButton] = ["add", "switch"].map((name) => part(name));
        let isAsRows = false;

        function show(asRows, text = "") {
            isAsRows = asRows;
            rowsEditor.hidden = addButton.hidden = !asRows;
            part("json-editor").hidden = asRows;
            switchButton.textContent = asRows ? "Edit as JSON" : "Edit as rows";
            note.textContent = text;
            note.hidden = !text;
            part("buttons").hidden = false;
        }

        function read(row) {
            const [field, operator, type] = ["field", "operator", "type"].map((name) => part(name, row).value.trim());
            const lines = part("value", row).value.split("\n").map((line) => line.replace(/\r$/, ""));
            return { field, operator, type, texts: operator === "in" ? lines.filter((line) => line.trim()) : [lines.join(" ")] };
        }

        // Show the inputs that the operator and the type need, and check the numbers.
        function adapt(row) {
            const { operator, type, texts } = read(row);
            const [types, value] = [part("type", row), part("value", row)];
            const isCompared = WITH_VALUE.includes(operator);
            part("type-line", row).hidden = !isCompared;
            for (const option of types.options) option.hidden = operator === "in" && !TEXT_TYPES.includes(option.value);
            if (operator === "in" && !TEXT_TYPES.includes(type)) types.value = "text";
            value.hidden = !isCompared || !TEXT_TYPES.includes(types.value);
            value.rows = operator === "in" ? Math.max(2, texts.length) : 1;
            value.placeholder = operator === "in" ? "One value per line" : "Value";
            const isWrong = !value.hidden && types.value === "number" && !texts.every((text) => NUMBER.test(text.trim()));
            value.setCustomValidity(isWrong ? "Enter a number, such as 1000 or 0.5." : "");
        }

        function add({ field = "", operator = "equals", type = "text", texts = [] } = {}) {
            const row = root.querySelector("template").content.firstElementChild.cloneNode(true);
            part("field", row).value = field;
            part("operator", row).value = operator;
            part("type", row).value = type;
            part("value", row).value = texts.join("\n");
            list.append(row);
            adapt(row);
            part("match").hidden = list.children.length < 2;
            return row;
        }

        function write() {
            const rows = [...list.children];
            rows.forEach(adapt);
            part("match").hidden = rows.length < 2;
            json.value = toJson({ mode: mode.value, rows: rows.map(read).map((row) => ({
                ...row, texts: row.type === "number" ? row.texts.map((text) => text.trim()) : row.texts,
            })) });
        }

        function showRows() {
            const parsed = parse(json.value);
            if (!parsed) return false;
            mode.value = parsed.mode;
            list.replaceChildren();
            parsed.rows.forEach(add);
            show(true);
            return true;
        }

        function changed() {
            write();
            json.dispatchEvent(new Event("change", { bubbles: true }));
        }

        rowsEditor.addEventListener("input", write);
        rowsEditor.addEventListener("change", write);
        rowsEditor.addEventListener("click", (event) => {
            const row = event.target.closest("[data-remove]")?.closest("li");
            if (!row) return;
            const next = row.nextElementSibling || row.previousElementSibling;
            row.remove();
            changed();
            (next ? part("field", next) : addButton).focus();
        });
        addButton.addEventListener("click", () => {
            const row = add();
            changed();
            part("field", row).focus();
        });
        switchButton.addEventListener("click", () => {
            if (isAsRows) {
                show(false);
                json.focus();
            } else if (!showRows()) show(false, "Rows cannot show this condition: it is nested, mixes types or is not valid.");
        });
        // The admin's forms leave validation to the server, which does not know the type of a value.
        root.closest("form").addEventListener("submit", (event) => {
            const wrong = isAsRows && [...list.querySelectorAll("[data-value]")].find((value) => !value.checkValidity());
            if (!wrong) return;
            event.preventDefault();
            wrong.reportValidity();
        });
        if (!showRows()) show(false);
    }

    document.querySelectorAll("[data-condition]").forEach(edit);
})();
