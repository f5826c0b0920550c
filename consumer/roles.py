"""The three roles, as groups.

After every migration each role is granted the permissions that are new. A permission that an
operator removed stays removed, and one that an operator added stays.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps as installed
from django.conf import settings
from django.db import router, transaction
from django.db.models import Q

from listeners.access.permissions import CLOSE, OPERATE, READ_AGAIN, REDELIVER
from listeners.models import (
    ConnectionGroupGrant,
    ConnectionUserGrant,
    KeptTokens,
    ListenerGroupGrant,
    ListenerUserGrant,
    SpentToken,
    TokenState,
)

#: Prefixed, since a site may have its own group "Viewer".
VIEWER, OPERATOR, ADMINISTRATOR = "CDC Viewer", "CDC Operator", "CDC Administrator"

#: A viewer sees every model of these apps, except stored tokens and grants.
_SEEN = ("listeners", "audit", "handlers", "mirror")
_GRANTS = (ListenerUserGrant, ListenerGroupGrant, ConnectionUserGrant, ConnectionGroupGrant)
_UNSEEN = tuple(
    str(model._meta.model_name) for model in (TokenState, KeptTokens, SpentToken, *_GRANTS)
)
_OPERATED = (OPERATE, CLOSE, READ_AGAIN, REDELIVER)
_ADMINISTERED = (
    ("listeners", "connection"),
    ("listeners", "listener"),
    ("handlers", "handlermapping"),
    ("handlers", "destination"),
    ("mirror", "mirror"),
    tuple(settings.AUTH_USER_MODEL.lower().split(".")),
    ("auth", "group"),
    ("api", "apitoken"),
    *(("listeners", str(model._meta.model_name)) for model in _GRANTS),
)
_VERBS = ("view", "add", "change", "delete")


def update_roles(using: str, apps: Any = installed, **_: Any) -> None:
    """Create the roles and grant them new permissions. A receiver of `post_migrate`.

    Does nothing while the needed tables are missing, since only some apps were migrated, and in
    databases that do not have our tables.
    """
    if not router.allow_migrate(using, "consumer"):
        return
    try:
        Group = apps.get_model("auth", "Group")
        Permission = apps.get_model("auth", "Permission")
        RolePermission = apps.get_model("consumer", "RolePermission")
    except LookupError:
        return
    with transaction.atomic(using=using):
        for role, wanted in _wanted().items():
            given = RolePermission.objects.using(using).filter(role=role)
            known = set(given.values_list("permission", flat=True))
            group = Group.objects.using(using).filter(name=role).first()
            if group is None and known:
                continue  # an operator deleted or renamed the group
            group = group or Group.objects.using(using).create(name=role)
            permissions = Permission.objects.using(using).filter(wanted).order_by()
            rows = permissions.values_list("content_type__app_label", "codename", "pk")
            fresh = {f"{app}.{name}": pk for app, name, pk in rows if f"{app}.{name}" not in known}
            group.permissions.add(*fresh.values())
            given.bulk_create(RolePermission(role=role, permission=name) for name in fresh)


def _wanted() -> dict[str, Q]:
    viewed = Q(content_type__app_label__in=_SEEN, codename__startswith="view_")
    viewed &= ~Q(content_type__model__in=_UNSEEN) & ~Q(codename="view_sensitive")
    operated = viewed | _named(permission.split(".", 1) for permission in _OPERATED)
    administered = operated | _named(
        (app, f"{verb}_{model}") for app, model in _ADMINISTERED for verb in _VERBS
    )
    return {VIEWER: viewed, OPERATOR: operated, ADMINISTRATOR: administered}


def _named(pairs: Any) -> Q:
    permissions = Q()
    for app, codename in pairs:
        permissions |= Q(content_type__app_label=app, codename=codename)
    return permissions
