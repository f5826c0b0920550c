"""The integration user: the password, the lock after too many wrong ones, the permissions."""

from dataclasses import dataclass

from simulator.rest_messages import RestError


@dataclass(slots=True)
class Door:
    """Lets the user in; after `lock_after` wrong passwords in a row nobody, 0 means never."""

    username: str
    password: str
    lock_after: int = 0
    failed: int = 0
    failed_in_a_row: int = 0
    locked: bool = False

    def is_user(self, username: str) -> bool:
        """Whether this is the user; upper and lower case are the same."""
        return username.casefold() == self.username.casefold()

    def admits(self, username: str, password: str) -> bool:
        """Whether this login is good. A locked user is told the same as one who is wrong."""
        if not self.is_user(username):
            self.failed += 1
            return False
        if password == self.password and not self.locked:
            self.failed_in_a_row = 0
            return True
        self.failed += 1
        self.failed_in_a_row += 1
        self.locked = self.locked or 0 < self.lock_after <= self.failed_in_a_row
        return False

    def unlock(self) -> None:
        """As an administrator does."""
        self.locked = False
        self.failed_in_a_row = 0


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
