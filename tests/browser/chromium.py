"""Debian's Chromium, driven by Playwright: nothing is downloaded."""

import os
import shutil

from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def program() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


def missing_chromium() -> str:
    """What to install, or an empty text."""
    return "" if program() else "Chromium is not installed; on Debian: apt-get install chromium"


def launch(tools: Playwright) -> Browser:
    """It refuses to shut itself in as root."""
    return tools.chromium.launch(
        executable_path=program(),
        args=["--no-sandbox"] if os.geteuid() == 0 else [],
    )
