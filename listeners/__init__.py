"""Connections, listeners, tokens and the Salesforce wire protocols."""
