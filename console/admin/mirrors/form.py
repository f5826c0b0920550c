"""The form of a mirror; a new one offers the models that can be mirrored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.apps import apps
from django.conf import settings
from unfold.widgets import UnfoldAdminSelectWidget

from console.admin.form_fields import FormWithDefaults
from mirror.models import Mirror
from mirror.requirements import Refused, check_local
from mirror.schema.columns import NotMirrorable, columns_of


def model_choices() -> Iterator[tuple[str, str]]:
    """Yield the models that say which object they mirror, and have no mirror yet."""
    yield "", "Choose a model"
    taken = set(Mirror.objects.values_list("model", flat=True))
    for model in apps.get_models():
        if getattr(model, "salesforce_object", None) and model._meta.label not in taken:
            try:
                name = columns_of(model).salesforce_object
            except NotMirrorable:  # shown with the reason, once it is chosen
                name = "incomplete"
            yield model._meta.label, f"{model._meta.label} ({name})"


def database_choices() -> list[tuple[str, str]]:
    return [
        (alias, "This project's database" if alias == "default" else alias)
        for alias in settings.DATABASES
    ]


class MirrorForm(FormWithDefaults):
    model = forms.ChoiceField(
        widget=UnfoldAdminSelectWidget,
        help_text="A Django model that says which Salesforce object it mirrors. Generate one with "
        "manage.py inspect_salesforce Account --connection NAME, then migrate.",
    )
    database = forms.ChoiceField(
        widget=UnfoldAdminSelectWidget,
        help_text="The database that has the model's table. DATABASE_URL_SHOP adds the database "
        "shop.",
    )
    #: Why the org does not allow the mirror, if the page has asked it.
    refused: Refused | None = None

    class Meta:
        model = Mirror
        fields = ("model", "listener", "database", "deletes", "verify")
        help_texts = {
            "listener": "Receives the object's changes: a listener of /data/ChangeEvents, or of "
            "the object's own channel.",
            "deletes": "What happens to the row of a record that is deleted in Salesforce. In both "
            "cases Model.objects leaves such rows out, and Model.all_objects has them.",
            "verify": "How often the rows are compared with Salesforce.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, choices in (("model", model_choices), ("database", database_choices)):
            field = self.fields.get(name)  # absent once the mirror exists
            if isinstance(field, forms.ChoiceField):
                field.choices = list(choices())

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if self.instance.pk is None and not self.errors:
            wanted = Mirror(**{name: cleaned[name] for name in self.Meta.fields})
            try:
                check_local(wanted)
            except Refused as refused:
                self.add_error(refused.field or None, str(refused))
            else:
                if self.refused is not None:
                    self.add_error(self.refused.field or None, str(self.refused))
        return cleaned
