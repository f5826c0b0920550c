"""The tables of the app that the pages' examples belong to. The app is not installed: its tables
are made for these tests alone."""

from django.apps.registry import Apps
from django.db import models

apps = Apps()


class Live(models.Manager):  # type: ignore[type-arg]
    """A manager without deleted records, as mirrored models have it."""

    def get_queryset(self):
        return super().get_queryset().filter(is_deleted=False)


class Account(models.Model):
    salesforce_id = models.CharField(max_length=18, unique=True)
    name = models.CharField(max_length=255, default="")
    phone = models.CharField(max_length=40, default="")
    billing_city = models.CharField(max_length=40, default="")
    is_deleted = models.BooleanField(default=False)

    objects = Live()
    all_objects = models.Manager()

    class Meta:
        apps = apps
        app_label = "crm"
        db_table = "docs_account"  # beside the mirrored one

    def __str__(self) -> str:
        return self.name


class Contact(models.Model):
    salesforce_id = models.CharField(max_length=18, unique=True)
    account_id = models.CharField(max_length=18, blank=True, null=True, default="")  # noqa: DJ001
    email = models.EmailField(blank=True, default="")

    class Meta:
        apps = apps
        app_label = "crm"
        db_table = "docs_contact"

    def __str__(self) -> str:
        return self.email
