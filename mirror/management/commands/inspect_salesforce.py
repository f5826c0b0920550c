from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Model

from handlers.listener_rest_client import CANNOT_READ, rest_of_connection
from listeners.models import Connection
from listeners.salesforce.rest.client import RestClient
from mirror.column_holders import newcomers
from mirror.models import Mirror
from mirror.schema.choose import Unknown, choose, described_object, hidden_fields
from mirror.schema.model_code import Choice, module_code
from mirror.schema.model_diff import NoModel, diff, models_of
from mirror.schema.output import WouldLose, write

_DIFFERENT, _FAILED = 1, 2


class Command(BaseCommand):
    help = (
        "Write Django models for objects of the org, to mirror them. Exit status: 0 done, and "
        "with --diff no difference; 1 --diff found differences; 2 nothing was written."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "objects", nargs="+", metavar="OBJECT", help="an object, such as Account or Invoice__c"
        )
        parser.add_argument(
            "--connection", required=True, metavar="NAME", help="the connection to the org"
        )
        parser.add_argument(
            "--fields",
            default="",
            metavar="FIELD,…",
            help="only these; with several objects, write Account.Phone",
        )
        parser.add_argument(
            "--exclude",
            default="",
            metavar="FIELD,…",
            help="all but these; written in the same way",
        )
        parser.add_argument(
            "--diff",
            action="store_true",
            help="print what the installed models of the objects need to match the org",
        )
        parser.add_argument(
            "--output", metavar="FILE", type=Path, help="write the models here once complete"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        rest = _client(options["connection"])
        try:
            choices = _choices(rest, options)
            text = _diffs(choices) if options["diff"] else module_code(choices)
            if options["output"]:
                write(options["output"], text)
            else:
                self.stdout.write(text, ending="")
        except (Unknown, NoModel, WouldLose) as error:
            raise CommandError(str(error), returncode=_FAILED) from None
        except OSError as error:
            message = f"{options['output']} cannot be written: {error.strerror}."
            raise CommandError(message, returncode=_FAILED) from None
        except CANNOT_READ as error:
            message = (
                f"The org could not be read: {str(error).removesuffix('.')}. Check it with: "
                f"manage.py check_cdc_connection {options['connection']}"
            )
            raise CommandError(message, returncode=_FAILED) from None
        if options["diff"] and text:
            raise SystemExit(_DIFFERENT)


def _client(name: str) -> RestClient:
    connection = Connection.objects.filter(name=name).first()
    if connection is None:
        known = ", ".join(Connection.objects.values_list("name", flat=True)) or "none"
        message = f"There is no connection {name!r}. Known: {known}."
        raise CommandError(message, returncode=_FAILED)
    try:
        return rest_of_connection(connection)
    except CANNOT_READ as error:
        raise CommandError(f"{name} cannot be used: {error}", returncode=_FAILED) from None


def _choices(rest: RestClient, options: dict[str, Any]) -> list[Choice]:
    choices: dict[str, Choice] = {}
    for name in options["objects"]:
        described = described_object(rest, name)
        choices[described.name] = choose(
            described,
            only=_names(options["fields"], described.name, options["objects"]),
            exclude=_names(options["exclude"], described.name, options["objects"]),
            hidden=hidden_fields(rest, described),
        )
    return list(choices.values())


def _names(text: str, name: str, objects: list[str]) -> list[str]:
    """Return the fields of an object in the option: with several objects, `Object.Field`."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    qualified = [part.rpartition(".") for part in names]
    plain = [field for owner, _, field in qualified if not owner]
    if plain and len(objects) > 1:
        raise Unknown(f"Write {plain[0]} with its object, such as {objects[0]}.{plain[0]}.")
    for owner, _, field in qualified:
        if owner and owner.casefold() not in {each.casefold() for each in objects}:
            raise Unknown(f"{owner}.{field}: {owner} is not one of the objects to write.")
    return [
        field for owner, _, field in qualified if not owner or owner.casefold() == name.casefold()
    ]


def _diffs(choices: list[Choice]) -> str:
    texts: list[str] = []
    for choice in choices:
        found = models_of(choice.described.name)
        if not found:
            raise NoModel(
                f"No installed app has a model of {choice.described.name}. Add its app to "
                "CDC_APPS, or leave --diff out to write one."
            )
        texts += [diff(choice, model, without=_without(model, choice)) for model in found]
    return "".join(texts)


def _without(model: type[Model], choice: Choice) -> Iterable[str]:
    """Return the fields that would take over a column of the model's mirror."""
    mirror = Mirror.objects.filter(model=model._meta.label).first()
    return newcomers(mirror, choice.described.types) if mirror else ()
