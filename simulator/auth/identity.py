"""The identity endpoints (`/services/oauth2/userinfo` and `/id/…`), and token revocation."""

from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode

from aiohttp import web

from simulator import wire
from simulator.auth.oauth import TokenService, identity_url
from simulator.org.clock import Clock
from simulator.org.ids import ORG_ID, USER_ID, long_id
from simulator.org.records import JsonObject, iso
from simulator.org.rest_form import rest_time

MISSING_TOKEN, BAD_TOKEN = "Missing_OAuth_Token", "Bad_OAuth_Token"
WRONG_ORG, BAD_ID = "Wrong_Org", "Bad_Id"
INVALID_TOKEN = {"error": "invalid_token", "error_description": "token is invalid or expired"}
FORM = "application/x-www-form-urlencoded"


class Identity:
    """The two identity endpoints and the revocation endpoint."""

    def __init__(self, tokens: TokenService, clock: Clock, wake: Callable[[], None]) -> None:
        self._tokens = tokens
        self._clock = clock
        self._wake = wake

    def add_routes(self, app: web.Application) -> None:
        for method in ("GET", "POST"):
            app.router.add_route(method, "/services/oauth2/userinfo", self.userinfo)
            app.router.add_route(method, "/services/oauth2/revoke", self.revoke)
            app.router.add_route(method, "/id/{org}/{user}", self.identity)

    async def userinfo(self, request: web.Request) -> web.StreamResponse:
        """Answer with the user, in OpenID Connect's names."""
        if refused := self._refusal(wire.bearer_token(request)):
            return refused
        base_url = wire.base_url(request)
        return wire.json_response(
            {
                "sub": identity_url(base_url),
                "preferred_username": self._tokens.options.username,
                "nickname": "integration",
                "name": "Integration User",
                "given_name": "Integration",
                "family_name": "User",
                "zoneinfo": "America/Los_Angeles",
                "updated_at": rest_time(iso(self._clock.now())),
                **self._common(base_url),
            }
        )

    async def identity(self, request: web.Request) -> web.StreamResponse:
        """Answer with the user, as the identity URL describes it."""
        token = wire.bearer_token(request) or request.query.get("oauth_token", "")
        if refused := self._refusal(token):
            return refused
        if long_id(request.match_info["org"]) != ORG_ID:
            return web.Response(status=403, text=WRONG_ORG)
        if long_id(request.match_info["user"]) != USER_ID:
            return web.Response(status=404, text=BAD_ID)
        base_url = wire.base_url(request)
        return wire.json_response(
            {
                "id": identity_url(base_url),
                "asserted_user": True,
                "username": self._tokens.options.username,
                "nick_name": "integration",
                "display_name": "Integration User",
                "first_name": "Integration",
                "last_name": "User",
                "timezone": "America/Los_Angeles",
                "last_modified_date": rest_time(iso(self._clock.now())),
                **self._common(base_url),
            }
        )

    def _common(self, base_url: str) -> JsonObject:
        return {
            "user_id": USER_ID,
            "organization_id": ORG_ID,
            "email": self._tokens.options.username,
            "email_verified": True,
            "language": "en_US",
            "locale": "en_US",
            "utcOffset": -28_800_000,
            "user_type": "STANDARD",
            "active": True,
            "is_app_installed": True,
            "urls": _urls(base_url),
        }

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        """Revoke an access token, or a refresh token and all access tokens with it."""
        form = dict(parse_qsl((await request.read()).decode("utf-8", "replace")))
        token = form.get("token") or request.query.get("token", "")
        if self._tokens.revoke(token):
            self._wake()
            return web.Response(status=200)
        return web.Response(status=400, text=urlencode(INVALID_TOKEN), content_type=FORM)

    def _refusal(self, token: str) -> web.Response | None:
        if not token:
            return web.Response(status=403, text=MISSING_TOKEN)
        if not self._tokens.is_valid(token, self._clock.now()):
            return web.Response(status=403, text=BAD_TOKEN)
        return None


def _urls(base_url: str) -> JsonObject:
    data = f"{base_url}/services/data/v{{version}}/"
    return {
        "partner": f"{base_url}/services/Soap/u/{{version}}/{ORG_ID[:15]}",
        "rest": data,
        "sobjects": f"{data}sobjects/",
        "query": f"{data}query/",
        "tooling_rest": f"{data}tooling/",
        "custom_domain": base_url,
    }
