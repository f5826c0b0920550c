// Show large integers, such as commit numbers, exactly in the API's documentation: Swagger UI would
// print them as JavaScript numbers, which are exact only up to 2^53.
"use strict";

const ExactNumbers = () => {
    const LARGE = /\d{16}/;

    // Format JSON, keeping the text of numbers. Browsers without rawJSON get the unformatted text.
    function pretty(text) {
        if (!JSON.rawJSON) return text;
        const keep = (key, value, context) =>
            typeof value === "number" ? JSON.rawJSON(context.source) : value;
        return JSON.stringify(JSON.parse(text, keep), null, "  ");
    }

    function exact(props) {
        const { content, contentType } = props;
        if (typeof content !== "string" || !/json/i.test(contentType) || !LARGE.test(content)) return props;
        try {
            return { ...props, content: pretty(content), contentType: "text/plain" };
        } catch {
            return props;
        }
    }

    return {
        wrapComponents: {
            responseBody: (Original, { React }) => (props) => React.createElement(Original, exact(props)),
        },
    };
};
