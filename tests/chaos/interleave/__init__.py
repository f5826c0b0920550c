"""Failures, redeliveries, edits, pauses, deletes and undeletes at random; then every copy must be
what the org says."""

#: The names of the copying handler.
COPY, COPY_TOO = "chaos.copy", "chaos.copy_too"
