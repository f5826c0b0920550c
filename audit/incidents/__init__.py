"""Incidents: acknowledge and close them, and open those of failed logins."""
