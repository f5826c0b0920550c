"""Small coloured labels, as the console shows states and kinds."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from django.template.loader import render_to_string
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

CHANGE_VARIANTS = {
    "CREATE": "success",
    "UPDATE": "info",
    "DELETE": "danger",
    "UNDELETE": "primary",
}


# A list has the same few in each of its rows.
@lru_cache(maxsize=1024)
def label(text: str, variant: str = "", *, href: str = "", title: str = "") -> SafeString:
    """Escaped: texts may come from outside."""
    return render_to_string(
        "unfold/helpers/label.html",
        {"text": text, "type": variant, "href": href, "label_title": title},
    )


def change_type_label(change_type: str) -> SafeString:
    """Orange for gaps, overflows and what nobody knows yet."""
    return label(change_type, CHANGE_VARIANTS.get(change_type, "warning"))


def joined(labels: Sequence[str]) -> SafeString:
    return format_html_join(" ", "{}", ((one,) for one in labels))


def moment(when: datetime | None) -> SafeString | str:
    """To the second and on one line, as a log has it."""
    if when is None:
        return "-"
    return format_html(
        '<span class="whitespace-nowrap">{}</span>', f"{localtime(when):%Y-%m-%d %H:%M:%S}"
    )
