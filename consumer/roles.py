"""Three roles, as groups. They are put right after every migration: what they lack is added, so
what an operator took away comes back; what an operator added stays."""

from __future__ import annotations

from typing import Any

from django.apps import apps as installed
from django.db.models import Q

from listeners.models import KeptTokens, SpentToken, TokenState
from listeners.permissions import CLOSE, OPERATE, READ_AGAIN, REDELIVER

VIEWER, OPERATOR, ADMINISTRATOR = "Viewer", "Operator", "Administrator"

#: Everything in them is to be seen, but for what is kept of tokens.
_SEEN = ("listeners", "audit", "handlers")
_UNSEEN = tuple(str(model._meta.model_name) for model in (TokenState, KeptTokens, SpentToken))
_OPERATED = (OPERATE, CLOSE, READ_AGAIN, REDELIVER)
_ADMINISTERED = (
    ("listeners", "connection"),
    ("listeners", "listener"),
    ("handlers", "handlermapping"),
    ("auth", "user"),
    ("auth", "group"),
)
_VERBS = ("view", "add", "change", "delete")


def put_right(using: str, apps: Any = installed, **_: Any) -> None:
    """A receiver of `post_migrate`: by then the permissions are there. Unless only some apps were
    migrated, and not the one that has them."""
    try:
        Group = apps.get_model("auth", "Group")
        Permission = apps.get_model("auth", "Permission")
    except LookupError:
        return
    viewed = Q(content_type__app_label__in=_SEEN, codename__startswith="view_")
    viewed &= ~Q(content_type__model__in=_UNSEEN) & ~Q(codename="view_sensitive")
    operated = viewed | _named(one.split(".", 1) for one in _OPERATED)
    administered = operated | _named(
        (app, f"{verb}_{model}") for app, model in _ADMINISTERED for verb in _VERBS
    )
    roles = {VIEWER: viewed, OPERATOR: operated, ADMINISTRATOR: administered}
    through = Group.permissions.through
    for name, wanted in roles.items():
        group, _created = Group.objects.using(using).get_or_create(name=name)
        found = Permission.objects.using(using).filter(wanted).order_by()
        rows = [
            through(group_id=group.pk, permission_id=pk)
            for pk in found.values_list("pk", flat=True)
        ]
        through.objects.using(using).bulk_create(rows, ignore_conflicts=True)


def _named(pairs: Any) -> Q:
    found = Q()
    for app, codename in pairs:
        found |= Q(content_type__app_label=app, codename=codename)
    return found
