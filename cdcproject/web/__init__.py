"""Additions to Django for the web server: middleware, probes, throttles and error reports."""
