"""The tables of the app that the pages' examples belong to. No installed one: its tables are made
for these tests alone."""

from django.apps.registry import Apps
from django.db import models

apps = Apps()


class Account(models.Model):
    salesforce_id = models.CharField(max_length=18, unique=True)
    name = models.CharField(max_length=255, default="")
    phone = models.CharField(max_length=40, default="")

    class Meta:
        apps = apps
        app_label = "crm"
        db_table = "docs_account"  # beside the mirrored one

    def __str__(self) -> str:
        return self.name


class Contact(models.Model):
    salesforce_id = models.CharField(max_length=18, unique=True)
    account_id = models.CharField(max_length=18, blank=True, default="")
    email = models.EmailField(blank=True, default="")

    class Meta:
        apps = apps
        app_label = "crm"
        db_table = "docs_contact"

    def __str__(self) -> str:
        return self.email
