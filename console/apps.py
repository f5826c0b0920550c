from typing import Any

from django.apps import AppConfig
from django.contrib import admin
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core import checks


class ConsoleConfig(AppConfig):
    """The console has no models of its own."""

    name = "console"
    verbose_name = "Console"
    default = True


class AdminConfig(SimpleAdminConfig):
    """Django's admin, whose pages load with the URLs: listeners and workers do without them."""

    def ready(self) -> None:
        checks.register(check_dependencies, checks.Tags.admin)
        checks.register(_check_pages, checks.Tags.admin)


def register_pages() -> None:
    """Import the `admin` module of every app, and then register the page of users."""
    admin.autodiscover()
    from console.admin.users import register_users

    register_users()


def _check_pages(**options: Any) -> list[checks.CheckMessage]:
    """Run Django's checks of all admin pages, once the URLs have registered them."""
    from importlib import import_module

    from django.conf import settings

    import_module(settings.ROOT_URLCONF)
    found: list[checks.CheckMessage] = check_admin_app(**options)
    return found
