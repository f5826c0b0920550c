"""The demo's mirrored models, as `inspect_salesforce` writes them, and a handler that uses them."""
