"""Text from outside cannot begin a line of the log or control a terminal."""

import io
import logging

import structlog

from cdcproject.conf.logging import escaped, logging_config, write_traceback

FORGED = "a\n2026-01-01T00:00:00Z [info] forged \x1b[31m\u2028\x85\ud800"


def test_text_without_control_characters_is_left_as_it_is():
    assert escaped("Größe: 7 µm, “quoted”\\n") == "Größe: 7 µm, “quoted”\\n"


def test_control_characters_are_written_out():
    assert escaped(FORGED) == (
        "a\\n2026-01-01T00:00:00Z [info] forged \\x1b[31m\\u2028\\x85\\ud800"
    )


def test_a_traceback_is_indented():
    out = io.StringIO()
    try:
        raise ValueError(FORGED)
    except ValueError as error:
        write_traceback(out, (ValueError, error, error.__traceback__))

    lines = out.getvalue().splitlines()
    assert any("forged" in line for line in lines)
    assert all(line.startswith("    ") for line in lines if line)
    assert "\x1b" not in out.getvalue()


def test_neither_the_event_nor_a_field_nor_a_field_s_name_forges_a_line(capsys):
    formatter = logging_config("INFO", "console")["formatters"]["structured"]
    handler = logging.StreamHandler(out := io.StringIO())
    factory = formatter.pop("()")
    handler.setFormatter(factory(**formatter))
    logger = logging.Logger("somebody")
    logger.addHandler(handler)

    logger.info("%s", FORGED, extra={"field": FORGED, f"name{FORGED}": 1, "list": [FORGED]})

    assert len(out.getvalue().splitlines()) == 1
    assert structlog.is_configured()
