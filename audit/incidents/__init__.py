"""Incidents: acknowledged, closed, opened by failed logins, and counted."""
