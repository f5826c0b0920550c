"""The operations of the control API, one sentence each, for `--help` and the documentation."""

from collections.abc import Mapping

#: One sentence for each operation, by method and path below `/_simulator/`.
OPERATIONS: Mapping[str, str] = {
    "POST changes": "Commit changes to records as one transaction; gaps and overflows too.",
    "POST events": "Publish an event with any header and body.",
    "POST messages": "Send any message to the current CometD subscribers of a channel.",
    "POST duplicates": "Deliver retained events again.",
    "POST bursts": "Generate a number of events at once.",
    "POST traffic": "Generate events at a rate from now on.",
    "POST faults": "Make the next requests fail, or drop tokens, sessions or events at once.",
    "DELETE faults": "Clear the waiting faults.",
    "POST entities": "Add an object, or change its fields, selection and visibility.",
    "POST channels": "Add a custom channel, or change its objects.",
    "POST managed-subscriptions": "Add, change, stop or delete a managed event subscription.",
    "POST clock": "Move the org's clock ahead, so that tokens, sessions and events expire.",
    "POST access": "Give or take permissions of the integration user.",
    "POST unlock": "Unlock the integration user after too many wrong passwords.",
    "POST refresh-token": "Issue a new refresh token, as a new authorization does.",
    "POST recycle-bin/empty": "Permanently delete everything in the Recycle Bin.",
    "POST pubsub-restart": "Close every connection of the Pub/Sub API, and its port for a while.",
    "GET state": "Show records, events, sessions, streams, logins and waiting faults.",
    "GET token-requests": "Show the token requests, including SOAP logins.",
    "DELETE token-requests": "Clear the token requests and their counters.",
    "GET requests": "Show the other HTTP requests of clients.",
    "DELETE requests": "Clear the other HTTP requests.",
    "GET pubsub-calls": "Show the calls of the Pub/Sub API.",
    "DELETE pubsub-calls": "Clear the calls of the Pub/Sub API.",
}


def listed() -> str:
    """Return the operations as text for `--help`."""
    width = max(len(name) for name in OPERATIONS)
    lines = (f"  {name:{width}}  {text}" for name, text in OPERATIONS.items())
    return (
        "control API (JSON over HTTP below /_simulator/, without authentication; "
        "examples in docs/simulator.md):\n" + "\n".join(lines)
    )
