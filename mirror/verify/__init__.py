"""Compares mirrored tables with Salesforce, records each difference, and repairs it."""
