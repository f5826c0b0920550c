from __future__ import annotations

from typing import ClassVar

from django.db import models


class ChangeLog(models.Model):
    entity = models.CharField(max_length=255)
    record_id = models.CharField(max_length=255)
    change_type = models.CharField(max_length=255)
    replay_id = models.BigIntegerField()
    payload = models.JSONField()
    received_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager[ChangeLog]] = models.Manager()

    class Meta:
        app_label = "peer"

    def __str__(self) -> str:
        return f"{self.change_type} {self.entity} {self.record_id}"
