"""Starts Debian's Chromium with Playwright, so that nothing is downloaded."""

import os
import shutil

from playwright.sync_api import Browser, Playwright

from tests.servers import PATIENCE_SECONDS

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def program() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


def missing_chromium() -> str:
    """Return what to install, or an empty text if nothing is missing."""
    return "" if program() else "Chromium is not installed; on Debian: apt-get install chromium"


def launch(tools: Playwright) -> Browser:
    """Launch Chromium, without its sandbox for root: as root it refuses to start with one."""
    return tools.chromium.launch(
        executable_path=program(),
        args=["--no-sandbox"] if os.geteuid() == 0 else [],
        timeout=1000 * PATIENCE_SECONDS,
    )
