"""The web server's entry point: `gunicorn cdcproject.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cdcproject.settings")

application = get_wsgi_application()
