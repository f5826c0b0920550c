"""The integration user: password, lock after too many wrong passwords, permissions."""

from dataclasses import dataclass

from simulator.rest_messages import RestError


@dataclass(slots=True)
class Door:
    """Checks the user's logins. After `lock_after` wrong passwords in a row the user is locked (0:
    never)."""

    username: str
    password: str
    lock_after: int = 0
    failed: int = 0
    failed_in_a_row: int = 0
    locked: bool = False

    def is_user(self, username: str) -> bool:
        """Return whether this is the user, ignoring case."""
        return username.casefold() == self.username.casefold()

    def admits(self, username: str, password: str) -> bool:
        """Return whether the login is valid. A locked user gets the same answer as a wrong
        password."""
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
        """Unlock the user, as an administrator does."""
        self.locked = False
        self.failed_in_a_row = 0


@dataclass(slots=True)
class Access:
    """The user permissions *API Enabled* and *View Setup and Configuration*."""

    api_enabled: bool = True
    view_setup: bool = True

    def check_api(self) -> None:
        """Raise RestError if the user may not use the REST API."""
        if not self.api_enabled:
            raise RestError("API_DISABLED_FOR_ORG")

    def check_setup(self) -> None:
        """Raise RestError if the user may not view the configuration in Setup."""
        if not self.view_setup:
            raise RestError("INSUFFICIENT_ACCESS")
