"""The Django app of `manage.py run_salesforce_simulator`; nothing else here needs Django."""

from django.apps import AppConfig


class SimulatorConfig(AppConfig):
    """An app without models."""

    name = "simulator"
    verbose_name = "Salesforce simulator"
