from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from consumer.management import mirror_actions
from consumer.management.arguments import word
from mirror.models import Mirror
from mirror.service import DEPTHS

_ACTIONS = {
    "add": "keep local copies of the models' objects, all or none, and load them",
    "load": "load all records again, beside the stream",
    "verify": "compare the rows with Salesforce",
    "repair": "read the records of all open differences again",
    "status": "show the state of each mirror, or of the named ones",
    "remove": "end the mirror; its table and rows stay",
}


class Command(BaseCommand):
    help = (
        "Keep local copies of Salesforce objects. "
        + " ".join(f"{action}: {text}." for action, text in _ACTIONS.items())
        + " Workers load, verify and repair; with --wait the command shows their progress and "
        "exits with 0 when all is done and right, with 1 otherwise."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=_ACTIONS, metavar="ACTION", help=", ".join(_ACTIONS))
        parser.add_argument("models", nargs="*", metavar="MODEL", help="such as crm.Account")
        parser.add_argument("--wait", action="store_true", help="show the progress until the end")
        parser.add_argument(
            "--format", choices=["table", "json"], default="table", help="of status"
        )
        parser.add_argument(
            "--depth", choices=DEPTHS, default="full", help="verify: how deep; default: full"
        )
        parser.add_argument(
            "--accept-deletions",
            action="store_true",
            help="repair: mark rows as deleted even if many records are absent from Salesforce",
        )
        group = parser.add_argument_group("options of add")
        group.add_argument(
            "--listener", type=word, metavar="NAME", help="default: the only listener there is"
        )
        group.add_argument(
            "--database",
            type=word,
            default="default",
            metavar="ALIAS",
            help="the database of the table",
        )
        group.add_argument(
            "--deletes", choices=Mirror.Deletes.values, default="soft", help="default: soft"
        )
        group.add_argument(
            "--verify", choices=Mirror.Verify.values, default="daily", help="default: daily"
        )

    def handle(self, *_: Any, action: str, models: list[str], **options: Any) -> None:
        mirror_actions.act(self, action, models, options)
