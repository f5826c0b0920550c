from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from api.models import ApiToken
from audit.action_log import Action, Actor, note


class Command(BaseCommand):
    help = "Create an API token for a user and print it once; only a digest is stored."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="name of the user")
        parser.add_argument("--name", default="command line", help="what uses the token")
        parser.add_argument(
            "--days", type=int, help="days until the token expires (default: never)"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        users = get_user_model()
        user = users.objects.filter(**{users.USERNAME_FIELD: options["user"]}).first()
        if user is None:
            raise CommandError(f"There is no user {options['user']!r}.", returncode=2)
        days = options["days"]
        if days is not None and not 1 <= days <= 36_500:
            raise CommandError("--days must be between 1 and 36500.", returncode=2)
        life = timedelta(days=days) if days else None
        with transaction.atomic():
            token = ApiToken(
                user=user,
                name=options["name"][:100],
                expires_at=timezone.now() + life if life else None,
            )
            key = token.make_key()
            token.save()
            note(Actor.at_the_shell(), Action.ADD, token)
        self.stdout.write(key)
