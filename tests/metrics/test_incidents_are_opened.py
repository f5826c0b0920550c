import pytest
from django.utils import timezone
from prometheus_client import values

from audit.models import Incident, Trouble
from audit.models.incident import OPENED
from cdcproject.process.metrics import VARIABLE


@pytest.mark.django_db(transaction=True)
def test_an_incident_is_opened_where_it_cannot_be_counted(listener, monkeypatch, tmp_path):
    """The folder of a new process of a worker's pool is gone."""
    OPENED.clear()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone"))
    monkeypatch.setattr(values, "ValueClass", values.MultiProcessValue())

    Incident.objects.report(listener.pk, Trouble("gap", "a", "one", "read it"), timezone.now())

    assert Incident.objects.get().kind == "gap"
