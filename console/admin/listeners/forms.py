"""The forms of a listener; the one for a new listener has three steps and advanced settings."""

from __future__ import annotations

from itertools import count
from typing import Any, ClassVar

from django.forms.widgets import Script
from django.urls import reverse
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminTextInputWidget

from console.admin.form_fields import FormWithDefaults, NamesField
from listeners.connections.listener_warnings import ENDPOINT_IS_CLOSED, OF_SALESFORCE
from listeners.field_masking import EXAMPLES
from listeners.models import Connection, Listener
from listeners.models.connection_rules import default_of

FIELDSETS: Any = (
    (None, {"fields": ("name", "connection", "channel", "enabled")}),
    (
        "Position",
        {
            "description": "Where to start, and what to do when Salesforce no longer has the "
            "next change. Salesforce retains changes for 72 hours.",
            "fields": ("replay_from", "on_replay_lost"),
        },
    ),
    (
        "Gap events",
        {
            "description": "Salesforce sends a gap event in place of a change that was too "
            "large or was made outside its application servers.",
            "fields": ("gap_policy",),
        },
    ),
    (
        "Transport",
        {
            "description": "Both APIs deliver the same changes to the same handlers.",
            "fields": ("transport", "pubsub_endpoint", "managed_subscription"),
        },
    ),
    (
        "Sensitive fields",
        {
            "classes": ("collapse",),
            "description": "Masked for users without the permission to see sensitive values. "
            "Handlers always get the values.",
            "fields": ("sensitive_fields",),
        },
    ),
    (
        "API version and timeouts",
        {
            "classes": ("collapse",),
            "fields": (
                "api_version",
                "connection_timeout",
                "read_timeout",
                "keep_alive_interval",
                "session_timeout",
            ),
        },
    ),
)
STEPS = (
    ("1. Connection", ("connection",)),
    ("2. Channel", ("channel",)),
    ("3. Name", ("name", "enabled")),
)
ADVANCED = (
    "transport",
    "pubsub_endpoint",
    "managed_subscription",
    "replay_from",
    "on_replay_lost",
    "gap_policy",
    "sensitive_fields",
    "api_version",
    "connection_timeout",
    "read_timeout",
    "keep_alive_interval",
    "session_timeout",
)
NEW_FIELDSETS: Any = (
    *((title, {"fields": fields}) for title, fields in STEPS),
    (
        "Advanced configuration",
        {
            "classes": ("collapse",),
            "description": "Every setting has a default, and you can change all of them later.",
            "fields": ADVANCED,
        },
    ),
)
_ADD_PAGE = "admin:listeners_connection_add"
_ADD = (
    '{} <a id="add_id_connection" class="related-widget-wrapper-link add-related connecting-add" '
    'data-popup="yes" href="{}?_to_field=id&amp;_popup=1">New connection</a>'
)
_HELP = {
    "connection": "The Salesforce org and its credentials.",
    "channel": "Choose a channel of the org, or type one. /data/ChangeEvents carries every entity "
    "selected in Setup under Change Data Capture, /data/AccountChangeEvent a single entity, "
    "/data/Name__chn is a custom channel. Names are case-sensitive.",
    "name": "Identifies the listener in the console, in configuration files and in commands.",
    "enabled": "Start receiving as soon as the listener is saved and a listener process runs.",
}


class ListenerForm(FormWithDefaults):
    """A form that offers the channels of the connection's org."""

    sensitive_fields = NamesField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=f"Fields such as {EXAMPLES}, whose values the console, the API and exports mask.",
    )
    #: Whether the user may change connections; set by the page.
    may_change_connections = False

    class Meta:
        model = Listener
        fields = "__all__"

    class Media:
        css: ClassVar = {"all": ["console/connecting.css"]}
        js: ClassVar = [Script("console/channels.js", defer=True)]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if field := self.fields.get("channel"):  # absent for read-only users
            field.widget.attrs |= {
                "data-channels": reverse("admin:listeners_listener_channels"),
                "data-channels-of": "id_connection",
                # Opening a listener's page should not send a request to its org.
                "data-channels-on": "focus" if self.instance.pk else "load",
            }

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        endpoint, connection = cleaned.get("pubsub_endpoint"), cleaned.get("connection")
        is_theirs = not endpoint or OF_SALESFORCE.fullmatch(endpoint)
        if {"pubsub_endpoint", "connection"}.isdisjoint(self.changed_data) or is_theirs:
            return cleaned
        if not self.may_change_connections:
            self.add_error("pubsub_endpoint", ENDPOINT_IS_CLOSED.format(connection))
        return cleaned


class NewListenerForm(ListenerForm):
    class Media:
        js: ClassVar = [Script("console/trial.js", defer=True)]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, text in _HELP.items():
            self.fields[name].help_text = text
        for name in ADVANCED:
            field = self.fields[name]
            field.help_text = f"{field.help_text} Default: {_shown_default(name)}.".strip()
        self._offer_to_add_one()

    def _offer_to_add_one(self) -> None:
        """Show a link to add a connection in place of unfold's menu; it opens a pop-up."""
        field = self.fields["connection"]
        wrapper: Any = field.widget
        if getattr(wrapper, "can_add_related", False):
            field.help_text = format_html(_ADD, field.help_text, reverse(_ADD_PAGE))
        for verb in ("add", "change", "delete", "view"):
            setattr(wrapper, f"can_{verb}_related", False)


def _shown_default(name: str) -> str:
    field: Any = Listener._meta.get_field(name)
    default = field.get_default()
    words = [label for value, label in field.flatchoices if value == default]
    return str(words[0] if words else default or "empty")


def initial_values() -> dict[str, Any]:
    """Return the initial values besides the defaults: an unused name, and the only connection."""
    wanted = str(default_of(Listener(), "name"))
    taken = set(Listener.objects.filter(name__startswith=wanted).values_list("name", flat=True))
    names = (f"{wanted}{number}" if number > 1 else wanted for number in count(1))
    found: dict[str, Any] = {"name": next(name for name in names if name not in taken)}
    connections = list(Connection.objects.values_list("pk", flat=True)[:2])
    if len(connections) == 1:
        found["connection"] = connections[0]
    return found
