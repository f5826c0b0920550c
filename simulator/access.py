"""What the integration user may do beside reading records."""

from dataclasses import dataclass

from simulator.rest_errors import RestError


@dataclass(slots=True)
class Access:
    """User permissions: *API Enabled*, and *View Setup and Configuration*."""

    api_enabled: bool = True
    view_setup: bool = True

    def check_api(self) -> None:
        """Raises RestError where the REST API is closed to the user."""
        if not self.api_enabled:
            raise RestError("API_DISABLED_FOR_ORG")

    def check_setup(self) -> None:
        """Raises RestError where what is configured in Setup is closed to the user."""
        if not self.view_setup:
            raise RestError("INSUFFICIENT_ACCESS")
