"""The remedy for a database that refuses to read or write rows."""

#: What to do, by a part of the database's message.
_REMEDIES = {
    "disk is full": "Free space or raise the database's limit",
    "no space left": "Free space on the database's disk",
    "could not extend": "Free space on the database's disk",
    "permission denied": "Grant the database's user the right to write the table",
    "does not exist": "Apply the model's migrations to that database",
    "no such": "Apply the model's migrations to that database",
}


def remedy_of(reason: str) -> str:
    """Return what to do about a database's refusal, without a full stop; empty if not known."""
    found = (text for part, text in _REMEDIES.items() if part in reason.lower())
    return next(found, "")
