import os
import sys
from argparse import ArgumentParser
from io import TextIOWrapper
from typing import Any

from django.core.management.base import BaseCommand

from audit.actions import Action, Actor, note
from audit.sight import Sight
from consumer.management.arguments import add_filters, filter_of
from handlers.export import csv_lines, exported, json_lines

FORMATS = {"jsonl": json_lines, "csv": csv_lines}
#: What a shell shows for a program that the end of its pipe has ended.
EXIT_BROKEN_PIPE = 141


class Command(BaseCommand):
    help = "Write the audit log to standard output, the oldest change first, with its deliveries."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--format",
            choices=[*FORMATS],
            default="jsonl",
            help="jsonl: one JSON object a line. csv: the same columns, nested ones as JSON; an "
            "apostrophe stands before texts that a spreadsheet would run (= + - @)",
        )
        parser.add_argument(
            "--with-sensitive",
            action="store_true",
            help="the values of sensitive fields too; a line in the action log says so",
        )
        add_filters(parser)

    def handle(self, *_: Any, **options: Any) -> None:
        sees_all = options["with_sensitive"]
        rows = exported(filter_of(options), sight=Sight(sees_all))
        if sees_all:
            note(Actor.at_the_shell(), Action.REVEAL, details={"format": options["format"]})
        if options.get("stdout") is None and isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")
        try:
            for line in FORMATS[options["format"]](rows):
                self.stdout.write(line, ending="")
            self.stdout.flush()
        except BrokenPipeError:
            # Whoever reads has enough, as in `| head`. Python must not flush into it at its exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(EXIT_BROKEN_PIPE)
