"""A mirrored model whose object has 30 fields."""

from typing import Any

from django.db import models


class Asset(models.Model):
    """A record of `Asset__c`."""

    salesforce_object = "Asset__c"

    salesforce_id = models.CharField(max_length=18, primary_key=True)
    name = models.TextField(null=True)
    owner_id = models.CharField(max_length=18, null=True, db_index=True)
    created_date = models.DateTimeField(null=True)
    created_by_id = models.CharField(max_length=18, null=True, db_index=True)
    last_modified_by_id = models.CharField(max_length=18, null=True, db_index=True)
    text_1 = models.TextField(null=True)
    text_2 = models.TextField(null=True)
    text_3 = models.TextField(null=True)
    text_4 = models.TextField(null=True)
    text_5 = models.TextField(null=True)
    text_6 = models.TextField(null=True)
    text_7 = models.TextField(null=True)
    text_8 = models.TextField(null=True)
    text_9 = models.TextField(null=True)
    text_10 = models.TextField(null=True)
    amount_1 = models.DecimalField(max_digits=30, decimal_places=8, null=True)
    amount_2 = models.DecimalField(max_digits=30, decimal_places=8, null=True)
    amount_3 = models.DecimalField(max_digits=30, decimal_places=8, null=True)
    amount_4 = models.DecimalField(max_digits=30, decimal_places=8, null=True)
    number_1 = models.BigIntegerField(null=True)
    number_2 = models.BigIntegerField(null=True)
    day_1 = models.DateField(null=True)
    day_2 = models.DateField(null=True)
    moment_1 = models.DateTimeField(null=True)
    moment_2 = models.DateTimeField(null=True)
    flag_1 = models.BooleanField(null=True)

    is_deleted = models.BooleanField(default=False)
    is_complete = models.BooleanField(default=True)
    synced_at = models.DateTimeField(null=True)
    version = models.DateTimeField(null=True)
    raw = models.JSONField(default=dict)

    objects: Any = models.Manager()
    all_objects: Any = models.Manager()

    def __str__(self) -> str:
        return str(self.pk)
