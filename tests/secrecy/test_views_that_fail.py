"""A view that fails on a submitted connection shows no secret, in production and with
DEBUG=true."""

import pytest
import requests
from django.conf import settings as configured
from rest_framework.authtoken.models import Token

from tests.secrecy.broken import every_secret
from tests.secrecy.planted import Planted
from tests.secrecy.scene import Scene
from tests.secrecy.test_console_and_api import ADD, FIELDS
from tests.servers import free_port, wait_for

pytestmark = pytest.mark.anywhere

MODES = pytest.mark.parametrize("debug", ["false", "true"], ids=["production", "DEBUG"])


class Console:
    """The web server, and a logged-in client of it."""

    def __init__(self, scene, user, client) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        address = self.url.removeprefix("http://")
        scene.start("web", "-m", "gunicorn", "cdcproject.wsgi", "-b", address, "--threads", "2")
        wait_for(self._answers, what="the web server")
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.cookies.set("sessionid", client.cookies[configured.SESSION_COOKIE_NAME].value)
        self.key = Token.objects.create(user=user).key

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/healthz/live", timeout=60).ok
        except requests.ConnectionError:
            return False

    def post(self, fields):
        page = self._http.get(self.url + ADD, timeout=10)
        token = page.cookies.get("csrftoken") or self._http.cookies["csrftoken"]
        form = {**fields, "csrfmiddlewaretoken": token}
        return self._http.post(self.url + ADD, data=form, timeout=30)

    def send(self, fields):
        headers = {"Authorization": f"Token {self.key}"}
        return requests.post(
            f"{self.url}/api/v1/connections/", json=fields, headers=headers, timeout=30
        )

    def close(self) -> None:
        self._http.close()


@MODES
def test_neither_the_page_nor_the_log_shows_what_was_sent(
    processes, planted, tmp_path, admin, admin_user, debug
):
    typed = every_secret(planted, "typed")
    stored = planted.plain("password of REDIS_URL")
    scene = Scene(
        processes, planted, tmp_path,
        DEBUG=debug, CDC_TEST_SAVING_FAILS="yes",
        REDIS_URL=f"redis://:{stored}@127.0.0.1:{free_port()}/0",
    )  # fmt: skip
    web = Console(scene, admin_user, admin)
    fields = {key: value for key, value in FIELDS.items() if not key.startswith("proxy")}
    sent = {key: value for key, value in typed.items() if not key.startswith("proxy")}

    page = web.post(FIELDS | typed)
    answer = web.send(fields | sent)
    web.close()

    assert (page.status_code, answer.status_code) == (500, 500)
    answers = {"page": page.text, "answer": answer.text}
    keys = Planted()
    keys.add("key of the API", web.key)
    assert keys.leaks({**answers, **scene.of_processes()}) == []
    assert scene.leaks(answers) == []
