"""Incidents: acknowledge and close them, open those of failed logins, and count them."""
