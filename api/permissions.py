"""Who may do what: Django's permissions of the model, the one to view it among them."""

from rest_framework.permissions import DjangoModelPermissions

_VIEW = ["%(app_label)s.view_%(model_name)s"]


class ModelPermissions(DjangoModelPermissions):
    """DRF's own lets everybody who is logged in read everything."""

    perms_map = {**DjangoModelPermissions.perms_map, "GET": _VIEW, "HEAD": _VIEW, "OPTIONS": _VIEW}


class MayRedeliver(ModelPermissions):
    """To read takes the permission to view; to send changes to their handlers again, that to change
    deliveries."""

    perms_map = {**ModelPermissions.perms_map, "POST": ["handlers.change_delivery"]}


class MayChangeIncidents(ModelPermissions):
    """To read takes the permission to view; to acknowledge and to close, that to change."""

    perms_map = {**ModelPermissions.perms_map, "POST": ["audit.change_incident"]}
