"""The app of the mirrored models that the tests use, as `inspect_salesforce` writes them."""
