"""Security headers, the redirect to HTTPS, and error pages."""

import pytest
from django.test import Client
from django.test.utils import override_script_prefix

from cdcproject.web.login_throttle import ThrottledForm

SITE = "cdc.example.com"


@pytest.fixture
def site(settings, db):
    """A client of an installation for other machines, behind one proxy that terminates TLS."""
    settings.ALLOWED_HOSTS = [SITE]
    settings.SECURE_SSL_REDIRECT = settings.SESSION_COOKIE_SECURE = True
    settings.CSRF_COOKIE_SECURE = True
    settings.SECURE_HSTS_SECONDS = 3600
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    return Client(
        headers={"host": SITE, "x-forwarded-proto": "https"}, raise_request_exception=False
    )


def test_the_console_may_run_its_own_scripts_alone(site):
    policy = site.get("/admin/login/").headers["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "script-src 'self' 'unsafe-eval'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src 'self' 'unsafe-inline'" not in policy


def test_the_console_may_run_its_own_scripts_below_a_prefix(site):
    with override_script_prefix("/cdc/"):
        answer = site.get("/admin/login/", SCRIPT_NAME="/cdc")

    assert "/cdc/admin/" in answer.content.decode()
    assert "'unsafe-eval'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/api/docs/", "/api/v1/listeners/", "/nowhere", "/healthz/live"])
def test_everything_else_makes_no_scripts_of_texts(site, path):
    answer = site.get(path)

    assert "script-src 'self';" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in answer.headers["Permissions-Policy"]
    assert answer.headers["Strict-Transport-Security"] == "max-age=3600"


def test_a_site_behind_a_proxy_that_ends_tls_is_reached_over_https_alone(site):
    plain = site.get("/admin/login/", headers={"x-forwarded-proto": "http"})

    assert (plain.status_code, plain.headers["Location"]) == (301, f"https://{SITE}/admin/login/")
    served = site.get("/admin/login/")
    assert served.status_code == 200
    assert served.cookies["csrftoken"]["secure"]


@pytest.mark.parametrize("path", ["/healthz/live", "/metrics"])
def test_probes_ask_in_the_plain(site, path):
    assert site.get(path, headers={"x-forwarded-proto": "http"}).status_code == 200


def test_a_form_is_taken_from_the_site_alone(site, django_user_model):
    django_user_model.objects.create_superuser("ann", password="correct horse")
    browser = Client(headers={"host": SITE, "x-forwarded-proto": "https"}, enforce_csrf_checks=True)
    browser.get("/admin/login/")
    form = {
        "username": "ann",
        "password": "correct horse",
        "csrfmiddlewaretoken": browser.cookies["csrftoken"].value,
    }

    foreign = browser.post("/admin/login/", form, headers={"origin": "https://evil.example"})
    own = browser.post("/admin/login/", form, headers={"origin": f"https://{SITE}"})

    assert foreign.status_code == 403
    assert "Form rejected" in foreign.content.decode()
    assert own.status_code == 302
    session = own.cookies["sessionid"]
    assert session["secure"]
    assert session["httponly"]
    assert session["samesite"] == "Lax"


def test_a_page_that_is_not_there_says_so_in_the_consoles_look(site):
    answer = site.get("/nowhere")

    assert answer.status_code == 404
    assert "Page not found" in answer.content.decode()
    assert "/admin/" in answer.content.decode()
    assert "nowhere" not in answer.content.decode()


def test_what_may_not_be_seen_is_answered_in_the_consoles_look(site, django_user_model):
    site.force_login(django_user_model.objects.create_user("bob", is_staff=True))

    answer = site.get("/admin/listeners/connection/")

    assert answer.status_code == 403
    assert "Permission denied" in answer.content.decode()


def test_another_host_name_is_refused(site):
    answer = site.get("/admin/", headers={"host": "evil.example"})

    assert answer.status_code == 400
    assert "Bad request" in answer.content.decode()


def test_a_view_that_fails_shows_nothing_of_it(site, monkeypatch):
    def fail(*_):
        raise RuntimeError("hunter2")

    monkeypatch.setattr(ThrottledForm, "clean", fail)

    answer = site.post("/admin/login/", {"username": "ann", "password": "wrong"})

    page = answer.content.decode()
    assert answer.status_code == 500
    assert "Server error" in page
    assert "<script" not in page
    assert "hunter2" not in page
