"""Incidents: acknowledged, closed, and opened by failed logins."""
