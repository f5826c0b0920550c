"""Random failures, redeliveries, edits, pauses, deletes and undeletes; in the end every copy must
equal its record in the org."""

#: The names of the copying handler.
COPY, COPY_TOO = "chaos.copy", "chaos.copy_too"
