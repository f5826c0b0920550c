"""The record of a connection's login attempts, in the database whichever token store is used."""

from __future__ import annotations

import structlog
from django.conf import settings
from django.db.models import F, QuerySet
from django.dispatch import Signal
from django.utils import timezone

from listeners.models import Connection, SpentToken, TokenState
from listeners.salesforce.errors import LoginRefused, LoginUnavailable
from listeners.salesforce.tokens.store import Ledger, Trouble, digest
from listeners.token_stores.database import answered

log = structlog.get_logger(__name__)

#: Seconds between login attempts once all waits of settings.CDC_LOGIN_WAITS are used up.
COOLDOWN_SECONDS = 900.0
#: Sent when a problem with a connection's refresh token begins (`is_open`) or ends, with
#: `connection_id` and `trouble`. `audit.incidents` opens and closes the incident.
login_trouble = Signal()


class LoginLedger(Ledger):
    def __init__(self, connection: Connection, *, must_log_in: bool = False) -> None:
        """`must_log_in`: an operator requested this login, so earlier refusals do not delay it."""
        self._connection_id = connection.pk
        self._saved_at = connection.updated_at.isoformat()
        self._must_log_in = must_log_in

    def check(self, seed: str) -> None:
        """Raise an error if these credentials must not be tried yet.

        All processes together retry refused credentials after each of the growing waits in
        settings.CDC_LOGIN_WAITS, and then once every COOLDOWN_SECONDS. Raises LoginUnavailable
        during a wait, and LoginRefused during the cooldown.
        """
        if self._must_log_in:
            return
        seed = self._attempt(seed)
        state = answered(TokenState.objects.filter(connection_id=self._connection_id).first)
        if state is None or state.refused_seed != seed or state.refused_at is None:
            return
        refusal = state.refusal.removeprefix("login refused: ")
        since = (timezone.now() - state.refused_at).total_seconds()
        waits = settings.CDC_LOGIN_WAITS
        if 0 < state.refusals <= len(waits) and since < waits[state.refusals - 1]:
            rest = waits[state.refusals - 1] - since
            raise LoginUnavailable(f"refused {since:.0f} s ago: {refusal}", retry_after=rest)
        if state.refusals > len(waits) and since < COOLDOWN_SECONDS:
            raise LoginRefused(
                f"{state.refusals} attempts were refused, the last at "
                f"{state.refused_at:%Y-%m-%d %H:%M:%S} UTC",
                refusal,
                remedy="Save the corrected connection, or check it, to retry immediately.",
                is_final=True,
            )

    def refused(self, seed: str, reason: str) -> None:
        answered(lambda: self._refused(self._attempt(seed), reason))

    def accepted(self, seed: str) -> None:
        """Reset the refusals and close the incidents, after a successful login."""
        refused = self._state().filter(refused_seed=self._attempt(seed), refusals__gt=0)
        answered(lambda: refused.update(refusals=0, refusal=""))
        for trouble in (Trouble.CUT_OFF, Trouble.REVOKED):
            self.mended(trouble)

    def is_spent(self, refresh_token: str) -> bool:
        spent = SpentToken.objects.filter(
            connection_id=self._connection_id, digest=digest(refresh_token)
        )
        return answered(spent.exists)

    def spend(self, refresh_token: str) -> None:
        row = SpentToken(connection_id=self._connection_id, digest=digest(refresh_token))
        answered(lambda: SpentToken.objects.bulk_create([row], ignore_conflicts=True))

    def trouble(self, trouble: Trouble) -> None:
        log.error("refresh token problem", connection=self._connection_id, problem=trouble)
        self._report(trouble, is_open=True)

    def mended(self, trouble: Trouble) -> None:
        self._report(trouble, is_open=False)

    def _report(self, trouble: Trouble, *, is_open: bool) -> None:
        about = {"connection_id": self._connection_id, "trouble": trouble, "is_open": is_open}
        answered(lambda: login_trouble.send(Connection, **about))

    def _attempt(self, seed: str) -> str:
        """Return a digest of the credentials and of the time at which the connection was saved.

        Saving the connection, even unchanged, allows a new attempt.
        """
        return digest(f"{seed} {self._saved_at}")

    def _refused(self, seed: str, reason: str) -> None:
        TokenState.objects.get_or_create(connection_id=self._connection_id)
        now = timezone.now()
        same = self._state().filter(refused_seed=seed)
        if not same.update(refusals=F("refusals") + 1, refused_at=now, refusal=reason):
            self._state().update(refused_seed=seed, refusals=1, refused_at=now, refusal=reason)

    def _state(self) -> QuerySet[TokenState]:
        return TokenState.objects.filter(connection_id=self._connection_id)
