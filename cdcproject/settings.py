"""Every setting, read from the environment. A wrong value stops start-up with one line."""

from typing import Any

from celery.schedules import crontab
from environs import EnvError
from environs.exceptions import EnvValidationError

from cdcproject.conf import drf, unfold
from cdcproject.conf.alerting import mail, web_address, webhook
from cdcproject.conf.environment import (
    alive_file,
    at_least,
    encryption_keys,
    names,
    one_of,
    port,
    queue,
    rate,
    retention_days,
    static_files,
    stop,
    with_secret_files,
)
from cdcproject.conf.folders import BASE_DIR, var_dir
from cdcproject.conf.further_databases import further_databases
from cdcproject.conf.logging import LOG_FORMATS, LOG_LEVELS, logging_config, with_djangos_own
from cdcproject.conf.packages import user_apps
from cdcproject.conf.servers import (
    caches,
    database,
    embedded_broker_socket,
    redis_address,
    with_password,
)
from cdcproject.conf.site_names import hosts, origins
from cdcproject.egress_policy import is_local, outbound, readable

VAR_DIR = var_dir()

# Salesforce can replay events of the last 72 hours: pruned entries would be recorded again.
CDC_LEAST_RETENTION_DAYS = 4
CDC_MOST_RETENTION_DAYS = 36_500
_MONTH = 30 * 86_400

env = with_secret_files()
try:
    DEBUG = env.bool("DEBUG", False)
    SECRET_KEY = env.str("SECRET_KEY", "") or (
        "django-insecure-development-only"
        if DEBUG
        else stop(
            "SECRET_KEY is not set; give a long random string, or DEBUG=true to try the product."
        )
    )
    SECRET_KEY_FALLBACKS = names(env, "SECRET_KEY_FALLBACKS")
    CDC_ENCRYPTION_KEYS = encryption_keys(env, SECRET_KEY, debug=DEBUG)
    ALLOWED_HOSTS, CSRF_TRUSTED_ORIGINS = hosts(env), origins(env)
    # The following defaults are permissive when only this machine is served, otherwise strict.
    _is_local = is_local(ALLOWED_HOSTS, debug=DEBUG)
    CDC_OUTBOUND = outbound(env, local=_is_local, debug=DEBUG)
    CDC_SECRETS_READABLE = readable(env, local=_is_local)
    CDC_HTTPS = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("CDC_HTTPS", not _is_local)
    CDC_TRUSTED_PROXIES = at_least(env, "CDC_TRUSTED_PROXIES", 0, least=0)
    SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", CDC_HTTPS)
    SECURE_HSTS_SECONDS = at_least(env, "SECURE_HSTS_SECONDS", _MONTH if CDC_HTTPS else 0, least=0)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("SECURE_HSTS_INCLUDE_SUBDOMAINS", False)
    SECURE_HSTS_PRELOAD = env.bool("SECURE_HSTS_PRELOAD", False)
    CDC_SESSION_HOURS = at_least(env, "CDC_SESSION_HOURS", 12, least=1)
    DATABASES = {
        "default": database(
            env.str("DATABASE_URL", ""), VAR_DIR, password=env.str("DATABASE_PASSWORD", "")
        )
    }
    DATABASES |= further_databases(env, VAR_DIR, DATABASES["default"])
    LOG_LEVEL = one_of("LOG_LEVEL", env.str("LOG_LEVEL", "INFO").upper(), LOG_LEVELS)
    LOG_FORMAT = one_of("LOG_FORMAT", env.str("LOG_FORMAT", "console"), LOG_FORMATS)
    CDC_HANDLER_MODULES = names(env, "CDC_HANDLER_MODULES")
    # The queue of all our tasks; other projects on the broker use other queues.
    CDC_QUEUE = queue(env, "CDC_QUEUE", "cdc")
    CDC_APPS = names(env, "CDC_APPS")
    # A batch is committed when it has this many changes, or when its first change is this old.
    CDC_BATCH_MAX = at_least(env, "CDC_BATCH_MAX", 1000, least=1)
    CDC_BATCH_WAIT_MS = at_least(env, "CDC_BATCH_WAIT_MS", 20, least=0)
    CDC_RETENTION_DAYS = retention_days(env, CDC_LEAST_RETENTION_DAYS, CDC_MOST_RETENTION_DAYS)
    # The longest time for a run, after which its worker process is killed.
    CDC_RUN_SECONDS = at_least(env, "CDC_RUN_SECONDS", 300, least=20)
    # A worker that has not renewed its claim for this long is considered dead. Longer than a
    # failover of the database takes, during which no claim can be renewed.
    CDC_CLAIM_SECONDS = at_least(env, "CDC_CLAIM_SECONDS", 90, least=4)
    # An enabled listener that has not been receiving for so many seconds opens an incident.
    CDC_OUTAGE_SECONDS = at_least(env, "CDC_OUTAGE_SECONDS", 300, least=1)
    CDC_MAIL = mail(env)
    CDC_INCIDENT_WEBHOOK, CDC_INCIDENT_WEBHOOK_SECRET = webhook(env)
    # The console's address, for links in notifications of incidents.
    CDC_PUBLIC_URL = web_address(env, "CDC_PUBLIC_URL").rstrip("/")
    # Rate limits of API requests by user, and of failed logins to the console.
    _api_user_rate = rate(env, "CDC_API_USER_RATE", "1200/min")
    CDC_SIGN_IN_RATE = rate(env, "CDC_SIGN_IN_RATE", "20/hour")
    _broker_url, _redis_url = (
        with_password(name, env.str(f"{name}_URL", ""), env.str(f"{name}_PASSWORD", ""))
        for name in ("CELERY_BROKER", "REDIS")
    )
    # A worker and beat touch this file while their loops run; empty: no file.
    CDC_ALIVE_FILE = alive_file(env)
    # The port on which the worker's main process serves /metrics.
    CDC_WORKER_METRICS_PORT = port(env, "CDC_WORKER_METRICS_PORT")
    # May contain a key for the collector of traces.
    OTEL_EXPORTER_OTLP_HEADERS = env.str("OTEL_EXPORTER_OTLP_HEADERS", "")
    STATIC_ROOT, STORAGES = static_files(env.str("STATIC_ROOT", ""))
except EnvValidationError as error:
    stop(str(error).replace('"', ""))
except EnvError as error:
    stop(str(error))

# ── Celery ──────────────────────────────────────────────────────────────────────────────────
EMBEDDED_BROKER_SOCKET = None if _broker_url else embedded_broker_socket(VAR_DIR)
CELERY_BROKER_URL = _broker_url or f"redis+socket://{EMBEDDED_BROKER_SOCKET}"
# Celery prefers the environment variable to this setting, and it may lack the password.
CELERY_BROKER_READ_URL = CELERY_BROKER_WRITE_URL = CELERY_BROKER_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# The token store "redis" keeps tokens here; by default in the broker, when that is Redis.
REDIS_URL = redis_address(_redis_url, CELERY_BROKER_URL)
CELERY_TASK_DEFAULT_QUEUE = CDC_QUEUE
CDC_UNKNOWN_QUEUE = f"{CDC_QUEUE}.unknown"  # of messages whose task our workers do not know
CDC_REPORTS_QUEUE = f"{CDC_QUEUE}.reports"  # of tracked tasks, on the broker of each destination
# Our own exchanges, so that workers ignore the control commands and events of other projects.
CELERY_CONTROL_EXCHANGE = CDC_QUEUE
CELERY_EVENT_EXCHANGE = f"{CDC_QUEUE}ev"
CELERY_WORKER_CONSUMER = "handlers.messages.consumer:Consumer"
CELERY_TASK_TIME_LIMIT = CDC_RUN_SECONDS
CELERY_TASK_SOFT_TIME_LIMIT = CDC_RUN_SECONDS - 10
# With timeouts, a broker that hangs counts as unavailable, and publishers continue without it.
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {
        "visibility_timeout": 2 * CDC_RUN_SECONDS,
        "socket_timeout": 10.0,
        "socket_connect_timeout": 5.0,
        # Our own keys: otherwise another project on the same Redis would restore our unacknowledged
        # messages after its own visibility timeout, and our workers would restore its messages.
        "unacked_key": f"{CDC_QUEUE}.unacked",
        "unacked_index_key": f"{CDC_QUEUE}.unacked_index",
        "unacked_mutex_key": f"{CDC_QUEUE}.unacked_mutex",
    }
    if "redis" in CELERY_BROKER_URL
    else {}
)
# Messages are acknowledged after the run: a duplicate is harmless, since a worker claims it first.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_PUBLISH_RETRY = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_BEAT_SCHEDULER = "cdcproject.process.liveness_file:Scheduler"
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR_DIR / "celerybeat-schedule")
# The messages expire, so that they do not accumulate while no worker runs.
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "relay": {"task": "consumer.relay", "schedule": 10.0, "options": {"expires": 10.0}},
    "watch": {"task": "consumer.watch", "schedule": 30.0, "options": {"expires": 30.0}},
}
if CDC_RETENTION_DAYS is not None:
    CELERY_BEAT_SCHEDULE["prune"] = {
        "task": "consumer.prune",
        "schedule": crontab(hour="3", minute="0"),
        "options": {"expires": 3600.0},
    }

CDC_SWEEP_SECONDS = 10.0  # within which the relay runs each of its repairs, at least one a second
# A process that runs more listeners than another hands one over, this long after the last hand-over
# or the other's start.
CDC_HAND_OVER_SECONDS = 2.0
CDC_WATCH_SECONDS = 30.0  # between two checks that open and close incidents
# Deliveries that are queued for this long count as lost when the broker's queue is empty.
CDC_QUEUED_SECONDS = 15.0

# ── Attempts ────────────────────────────────────────────────────────────────────────────────
CDC_RETRY_BASE_SECONDS = 2.0
CDC_RETRY_CAP_SECONDS = 600.0
# The longest delay before a stream that keeps failing is reopened.
CDC_RECONNECT_CAP_SECONDS = 30.0
# Seconds to back off when Salesforce asks for it: as "too busy", and at a daily limit.
CDC_LONG_BACKOFF = (60.0, 300.0)
CDC_QUOTA_PROBE = 900.0
# Seconds after which a query job of the Bulk API that makes no progress is aborted.
CDC_BULK_STUCK_SECONDS = 3600.0
# Records in a page of its results: each page is an API call, and is read again when it is cut.
CDC_BULK_PAGE_ROWS = 20_000
# Seconds without a change after which a replay counts as complete when no response says so. Then a
# listener that lost its position reconciles over REST.
CDC_CAUGHT_UP_SECONDS = 5.0
# Delays before a refused login is retried. Then the listener stops: more failed logins would lock
# the user out.
CDC_LOGIN_WAITS = (2.0, 10.0)

# ── Django ──────────────────────────────────────────────────────────────────────────────────
INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "console.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework.authtoken",
    "guardian",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "listeners",
    "audit",
    "handlers",
    "mirror",
    "consumer",
    "api",
    "console",
    "simulator",
]
# The apps whose tables are in the default database alone.
CDC_OWN_LABELS = frozenset({*(name.rpartition(".")[2] for name in INSTALLED_APPS), "admin"})
DATABASE_ROUTERS = ["cdcproject.db_router.OwnTables"]
INSTALLED_APPS += user_apps(CDC_APPS, INSTALLED_APPS)
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "cdcproject.web.security_headers.BrowserPolicies",
    "cdcproject.web.probes.Probes",  # after header middleware, before the check of the host name
    "cdcproject.web.metrics.Requests",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "cdcproject.urls"
WSGI_APPLICATION = "cdcproject.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "cdcproject" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    # Permissions on single listeners and connections.
    "guardian.backends.ObjectPermissionBackend",
]
ANONYMOUS_USER_NAME = None
GUARDIAN_MONKEY_PATCH_USER = False
GUARDIAN_MONKEY_PATCH_GROUP = False
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}", "OPTIONS": options}
    for name, options in {
        "UserAttributeSimilarityValidator": {},
        "MinimumLengthValidator": {"min_length": 12},
        "CommonPasswordValidator": {},
        "NumericPasswordValidator": {},
    }.items()
]
SESSION_COOKIE_AGE = CDC_SESSION_HOURS * 3600
CACHES = caches(REDIS_URL)

# ── Browsers ────────────────────────────────────────────────────────────────────────────────
# Trusted only behind trusted proxies, because any client can send the header.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if CDC_TRUSTED_PROXIES else None
# Probes and Prometheus use plain HTTP inside the network.
SECURE_REDIRECT_EXEMPT = [r"^healthz/", r"^metrics$"]
# Whether HSTS may cover subdomains and preload lists depends on the domain: the operator decides it
# with SECURE_HSTS_INCLUDE_SUBDOMAINS and SECURE_HSTS_PRELOAD.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
STATIC_URL = "static/"
# Without STATIC_ROOT, static files are served from the packages, without collectstatic.
WHITENOISE_USE_FINDERS = not STATIC_ROOT
WHITENOISE_AUTOREFRESH = DEBUG
LOGGING = with_djangos_own(logging_config(LOG_LEVEL, LOG_FORMAT))
LOGIN_URL = "admin:login"
DEFAULT_EXCEPTION_REPORTER_FILTER = "cdcproject.web.error_reports.SecretsStayHidden"
REST_FRAMEWORK = {
    **drf.REST_FRAMEWORK,
    "DEFAULT_THROTTLE_RATES": drf.THROTTLE_RATES | {"user": _api_user_rate},
    "NUM_PROXIES": CDC_TRUSTED_PROXIES,
}
SPECTACULAR_SETTINGS = drf.SPECTACULAR_SETTINGS
UNFOLD = unfold.UNFOLD
