"""Names of change event channels.

They are case-sensitive, and Salesforce accepts subscriptions to misspelled ones, which never
receive an event.
"""

from __future__ import annotations

import re

_PREFIX = "/data/"
_NAME = r"[A-Za-z](?:_?[A-Za-z0-9])*"  # an API name: no doubled and no trailing underscore
_CUSTOM = rf"(?!.*__c__)(?:{_NAME}__)?{_NAME}"  # with an optional managed package namespace
_VALID = re.compile(
    rf"/data/(?:ChangeEvents|[A-Z][A-Za-z0-9]*ChangeEvent|{_CUSTOM}__(?:ChangeEvent|chn))"
)
_ENDINGS = re.compile(r"(__ChangeEvent|__chn|ChangeEvents|ChangeEvent)$", re.IGNORECASE)
_EXACT = {ending.lower(): ending for ending in ("__ChangeEvent", "__chn", "ChangeEvent")}
_FORMS = (
    "/data/ChangeEvents, /data/<Entity>ChangeEvent, /data/<Name>__ChangeEvent "
    "or /data/<Name>__chn (case-sensitive)"
)


def channel_of(text: str) -> str:
    """Return the channel named ``text``, with ``/data/`` added and a trailing slash removed.

    Raises ValueError with the accepted forms, and a suggestion if there is one.
    """
    name = text.removesuffix("/").removeprefix("/")
    channel = _PREFIX + name.removeprefix(_PREFIX[1:])
    if _VALID.fullmatch(channel):
        return channel
    hint = _suggestion(text)
    advice = f"did you mean {hint}? The forms are" if hint else "it must be"
    raise ValueError(f"{text!r} is not a change event channel: {advice} {_FORMS}")


def entity_of(channel: str) -> str | None:
    """Return the entity of a single-entity channel (Account, Employee__c); None for others."""
    name = channel.removeprefix(_PREFIX)
    if name.endswith("__ChangeEvent"):
        return f"{name.removesuffix('ChangeEvent')}c"
    return name.removesuffix("ChangeEvent") if name.endswith("ChangeEvent") else None


def is_custom(channel: str) -> bool:
    """Return whether it is a custom channel, which can have filters and enriched fields."""
    return channel.endswith("__chn")


def change_event_of(entity: str) -> str:
    """Return the name of an entity's change event: AccountChangeEvent, Employee__ChangeEvent."""
    if entity.endswith("__c"):
        return f"{entity.removesuffix('c')}ChangeEvent"
    return f"{entity}ChangeEvent"


def _suggestion(text: str) -> str | None:
    name = text.strip().strip("/")
    if "/" in name:
        folder, name = name.split("/", 1)
        if folder.casefold() != "data":
            return None
    if name.casefold() in {"changeevents", "changeevent", ""}:
        return f"{_PREFIX}ChangeEvents"
    candidate = _PREFIX + _repaired(name)
    return candidate if _VALID.fullmatch(candidate) else None


def _repaired(name: str) -> str:
    ending = _ENDINGS.search(name)
    if ending is None:  # the name of an object, as Setup shows it
        return _of_entity(name)
    stem = name[: ending.start()]
    exact = _EXACT[ending[1].lower().removesuffix("s")]
    if stem.casefold().endswith("__c"):  # Employee__cChangeEvent, Employee__c__ChangeEvent
        return f"{stem[:-3]}__ChangeEvent"
    return (stem if exact.startswith("__") else stem[:1].upper() + stem[1:]) + exact


def _of_entity(name: str) -> str:
    if name.casefold().endswith("__c"):
        return f"{name[:-3]}__ChangeEvent"
    return f"{name[:1].upper()}{name[1:]}ChangeEvent"
