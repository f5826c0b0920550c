"""The form of a connection; stored secrets are never shown."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from django.forms.widgets import Script
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from console.admin.check_stream import labelled
from console.admin.form_fields import (
    FormWithSecrets,
    NamesField,
    ObjectField,
    SecretField,
    SecretTextarea,
)
from listeners.models import Connection
from listeners.models.connection_rules import FIELDS_OF_SOME_KINDS, KINDS

REFERENCE_HELP = "Or a reference, resolved when used and not stored: env:NAME or file:PATH."
#: Fields of each kind of login, for `connection_form.js`.
FIELDS_BY_KIND_JSON = json.dumps(
    {
        kind: {"required": needs.required, "used_fields": sorted(needs.used_fields)}
        for kind, needs in KINDS.items()
    }
)


class ConnectionForm(FormWithSecrets):
    client_secret = SecretField(
        label="Client secret", help_text=f"The connected app's consumer secret. {REFERENCE_HELP}"
    )
    password = SecretField(
        label="Password",
        strips_blanks=False,
        help_text="The password, followed by the security token if the org requires one. "
        + REFERENCE_HELP,
    )
    token = SecretField(
        label="Bearer token",
        help_text="An access token or session id. When it expires, the listener stops until you "
        f"enter a new one. {REFERENCE_HELP}",
    )
    refresh_token = SecretField(
        label="Refresh token",
        help_text="If Salesforce rotates refresh tokens, the token store keeps the current one; "
        f"enter a new one here only after it was revoked. {REFERENCE_HELP}",
    )
    private_key = SecretField(
        label="Private key",
        strips_blanks=False,
        widget=SecretTextarea,
        help_text=f"RSA, in PEM, without a passphrase. {REFERENCE_HELP}",
    )
    proxy_password = SecretField(
        label="Proxy password", strips_blanks=False, help_text=REFERENCE_HELP
    )
    scopes = NamesField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Scopes to request, such as api, refresh_token. Empty: all scopes of the app.",
    )
    optional_params = ObjectField(
        when_empty={},
        label="Optional parameters",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text='Additional parameters of the token request, such as {"device_id": "cdc"}. A '
        "value may be env:NAME or file:PATH.",
    )
    client_config = ObjectField(
        when_empty={},
        label="HTTP client",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text="For the login: http_version (1.0, 1.1, 2), custom_headers, custom_payload, "
        "connection_timeout, read_timeout. For every request: tls with ca_bundle, "
        'client_certificate, client_key, verify. Example: {"tls": {"ca_bundle": "/etc/ca.pem"}}.',
    )
    refresh_config = ObjectField(
        when_empty=None,
        label="Refresh",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text="Use the refresh token that the login returns: {} with the login's settings, or "
        "refresh_url, scopes, optional_params, credential_bearer, client_config. Empty: log in "
        "with the password each time.",
    )

    class Media:
        css: ClassVar = {"all": ["console/connection_form.css"]}
        js: ClassVar = [Script("console/connection_form.js", defer=True)]

    class Meta:
        model = Connection
        fields = "__all__"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "auth" in self.fields:
            self.fields["auth"].widget.attrs["data-kinds"] = FIELDS_BY_KIND_JSON

    def report_hidden_errors(self) -> None:
        auth = self["auth"].value()  # the stored one if the user has not changed it
        used = KINDS[auth].used_fields if auth in KINDS else FIELDS_OF_SOME_KINDS
        for name in list(self.errors):
            if name in FIELDS_OF_SOME_KINDS - used:
                label = self.fields[name].label or name
                for message in self.errors[name]:
                    self.add_error(None, labelled(label, str(message)))


def visibility_conditions() -> dict[str, str]:
    """Return Alpine's condition for each field that not every kind of login uses."""
    return {
        name: " || ".join(
            f"auth == '{kind}'" for kind, needs in KINDS.items() if name in needs.used_fields
        )
        for name in sorted(FIELDS_OF_SOME_KINDS)
    }


def fieldsets_of_kind(fieldsets: Any, auth: str) -> list[Any]:
    """Return the fieldsets reduced to the fields of a kind of login, without empty ones."""
    others = FIELDS_OF_SOME_KINDS - KINDS[auth].used_fields if auth in KINDS else set()
    kept = [
        (title, {**options, "fields": [name for name in options["fields"] if name not in others]})
        for title, options in fieldsets
    ]
    return [(title, options) for title, options in kept if options["fields"]]
