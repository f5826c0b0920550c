"""Logins by OAuth and SOAP, and the tokens they issue."""
