"""Takes screenshots of the console for the documentation: `make screenshots`. Not a test."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import expect

from audit.models import AuditLogEntry
from handlers.external.inspection import survey
from handlers.mappings import pause
from handlers.models import Destination, HandlerMapping
from mirror.models import Mirror
from tests.browser import busy_org
from tests.browser.crm_handlers import MENDED
from tests.browser.page_checks import NARROW, WIDE
from tests.handlers.external.test_inspection import shop_worker
from tests.mirror.crm.models import Account
from tests.sample_data import ANN
from tests.servers import RedisServer, wait_for

FOLDER = Path(os.environ.get("CDC_SCREENSHOTS", "docs/images"))


@pytest.fixture
def busy(processes, simulator):
    MENDED.unlink(missing_ok=True)
    listener = busy_org.listeners(simulator)
    account = busy_org.work(simulator)
    processes.worker(concurrency=2)
    processes.listener(CDC_TEST_WATCH_SECONDS="1")
    busy_org.wait_until_handled(225)
    busy_org.move_back_in_time()
    busy_org.a_day_of_traffic(listener)
    return listener, account, busy_org.incidents(listener)


class Camera:
    def __init__(self, visitor) -> None:
        self.page = visitor.page
        FOLDER.mkdir(parents=True, exist_ok=True)

    def take(self, name: str, address: str = "", *, narrow=False, dark=False, at="") -> None:
        """Take a screenshot of the address or the current page, scrolled to the element `at`."""
        page = self.page
        page.set_viewport_size(NARROW if narrow else WIDE)
        if address:
            page.goto(address)
            page.wait_for_load_state("networkidle")
        page.evaluate("dark => document.documentElement.classList.toggle('dark', dark)", dark)
        if at:
            page.locator(at).first.scroll_into_view_if_needed()
        path = FOLDER / f"{name}.png"
        page.screenshot(path=path, animations="disabled")
        if shutil.which("pngquant"):
            small = ["pngquant", "--force", "--skip-if-larger", "--output", str(path), str(path)]
            subprocess.run(small, check=False)
        page.evaluate("document.documentElement.classList.remove('dark')")


@pytest.mark.timeout(900)
def test_the_pictures_are_taken(busy, visitor, tmp_path):
    listener, account, incident = busy
    visitor.log_in("CDC Administrator")
    camera = Camera(visitor)
    of_home_and_the_audit_log(camera, account)
    of_deliveries(camera)
    of_listeners(camera, listener)
    of_a_mirror(camera)
    of_a_destination(camera, tmp_path)
    camera.take("incident", f"/admin/audit/incident/{incident.pk}/change/")
    camera.take("incident-narrow", narrow=True)


def of_home_and_the_audit_log(camera: Camera, account: str) -> None:
    camera.take("home", "/admin/")
    camera.take("home-dark", dark=True)
    camera.take("home-narrow", narrow=True)
    camera.take("audit-log", "/admin/audit/auditlogentry/")
    camera.take("timeline", f"/admin/audit/auditlogentry/record/{account}/")
    entry = AuditLogEntry.objects.filter(record_id=account, change_type="UPDATE").latest("id")
    camera.take("entry", f"/admin/audit/auditlogentry/{entry.pk}/change/")
    camera.take("entry-narrow-dark", narrow=True, dark=True)


def of_deliveries(camera: Camera) -> None:
    """Take screenshots of dead letters, and of their redelivery after the repair."""
    page = camera.page
    camera.take("dead-letters", "/admin/handlers/delivery/dead-letters/")
    camera.take("dead-letters-narrow", narrow=True)
    MENDED.touch()
    page.set_viewport_size(WIDE)
    page.get_by_role("link", name=re.compile("^Redeliver all .*crm.sync_contact")).first.click()
    page.get_by_label("Reason").fill("Every country has its number now.")
    page.get_by_role("button", name=re.compile("^Redeliver")).click()
    busy_org.wait_until_handled(0)
    page.reload()
    camera.take("redelivery")
    with page.expect_download() as export:
        page.evaluate("location.href = '/admin/audit/auditlogentry/export/csv/'")
    export.value.path()
    camera.take("work", reverse("admin:audit_work_overview"))


def of_listeners(camera: Camera, listener) -> None:
    paused = HandlerMapping.objects.get(handler="search.forget_record")
    pause.pause([paused], ANN, "the search is being rebuilt", listener.created_at)
    page = camera.page
    camera.take("designer", f"/admin/listeners/listener/{listener.pk}/change/")
    camera.take("designer-dark", dark=True)
    camera.take("designer-narrow", narrow=True)
    mapping = HandlerMapping.objects.get(handler="crm.sync_contact", on="update")
    page.set_viewport_size(WIDE)
    page.goto(f"/admin/handlers/handlermapping/{mapping.pk}/change/")
    expect(page.get_by_role("region", name="Preview")).to_contain_text("would match")
    camera.take("mapping")
    page.goto("/admin/listeners/listener/add/")
    expect(page.get_by_text(re.compile("^The org offers"))).to_be_visible()
    camera.take("new-listener")
    camera.take("new-listener-narrow", narrow=True)
    page.set_viewport_size(WIDE)
    page.goto("/admin/listeners/connection/1/change/")
    page.get_by_role("button", name="Test connection").click()
    expect(page.get_by_text("The test passed.")).to_be_visible()
    camera.take("connection", at="#trial-findings li:last-child")


def of_a_mirror(camera: Camera) -> None:
    """Take screenshots of a mirror's load, and of a verification that finds a row changed by
    hand."""
    page = camera.page
    page.set_viewport_size(WIDE)
    page.goto("/admin/mirror/mirror/add/")
    page.get_by_label("Model").select_option("crm.Account")
    page.get_by_label("Listener").select_option(label="salesforceListener")
    page.get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_text("The test passed.")).to_be_visible()
    camera.take("new-mirror", at="#trial-findings li:last-child")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("section").get_by_text("Load", exact=True)).to_be_visible()
    wait_for(lambda: Mirror.objects.get().phase == Mirror.Phase.IN_SYNC, seconds=120)
    account = Account.objects.exclude(phone=None)[0]
    mirror, now = Mirror.objects.get(), timezone.now()
    verified = mirror.runs.create(
        kind="verify", state="done", is_right=False, done=Account.objects.count(),
        options={"depth": "full"}, report={"differences": 1, "open": 1}, requested_by="ann",
        created_at=now, started_at=now, finished_at=now,
    )  # fmt: skip
    mirror.differences.create(
        run=verified, record_id=account.pk, field="Phone", here="+49 40 5550 999",
        there=account.phone, reason="unexplained", found_at=now,
    )  # fmt: skip
    Mirror.objects.update(last_verified_at=now)
    camera.take("mirror", f"/admin/mirror/mirror/{mirror.pk}/change/")
    camera.take("mirror-narrow", narrow=True)


def of_a_destination(camera: Camera, folder: Path) -> None:
    """Take screenshots of a tested destination with one worker."""
    page = camera.page
    with RedisServer(folder) as server, shop_worker(folder, server.url):
        shop = Destination.objects.create(name="shop", broker=server.url)
        wait_for(lambda: survey(shop).workers, what="a worker")
        page.set_viewport_size(WIDE)
        page.goto(reverse("admin:handlers_destination_change", args=[shop.pk]))
        page.get_by_role("button", name="Test connection").click()
        expect(page.get_by_text("The test passed.")).to_be_visible()
        camera.take("destination", at="#trial-findings li:last-child")
