"""Database tools: transient errors and retries, prepared queries, bulk inserts, keyset pages."""
