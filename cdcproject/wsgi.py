"""The web server's entry point: `gunicorn cdcproject.wsgi`."""

import gc
import os
from importlib import import_module

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cdcproject.settings")

application = get_wsgi_application()
# Otherwise the first request would wait for the pages.
import_module(settings.ROOT_URLCONF)
# Loaded modules stay. Each full garbage collection would scan them for 0.1 s during a request.
gc.freeze()
