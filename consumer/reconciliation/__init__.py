"""Reconciliation: compare Salesforce with the audit log, and record changes that the log lacks."""
