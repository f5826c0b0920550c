"""The data of the org: records, transactions and change events."""
