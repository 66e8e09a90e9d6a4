"""Django's settings, decided by `paperdesk.environment`. Reading them starts nothing and connects to nothing.

Without a Redis (REDIS_URL == "") cache, broker and channel layer live in this process's memory, so that `migrate`,
`check` and `showenv` work before anything runs.
"""

import os
import secrets
from pathlib import Path
from typing import Any

import environ

from paperdesk import environment, logs, schedule
from paperdesk.errors import ConfigurationError

ENVIRONMENT = environment.current()
BASE_DIR = environment.BASE_DIR
_DECISIONS = ENVIRONMENT.decisions()

# Addresses
DATA = ENVIRONMENT.made_data()
REDIS_URL = _DECISIONS["redis_url"].value
REDIS_SERVICE_URL = environment.service_url(REDIS_URL)
CLICKHOUSE_URL = environment.http_url("CLICKHOUSE_URL", _DECISIONS["clickhouse_url"].value)
CLICKHOUSE_CLUSTER = ENVIRONMENT.text("CLICKHOUSE_CLUSTER")
TABLES_DAYS = ENVIRONMENT.days("PAPERDESK_TABLES_DAYS", 90)
DUCKDB_PATH = Path(_DECISIONS["duckdb_path"].value)
MARKET_DATA = (BASE_DIR / ENVIRONMENT.text("PAPERDESK_MARKET_DATA", "../shared/market-data")).resolve()
PAPERDESK_FEED = ENVIRONMENT.text("PAPERDESK_FEED", "synthetic")
RETAIN_HOURS = ENVIRONMENT.number("PAPERDESK_RETAIN_HOURS", 24)
HOT_HASHES_MAX = ENVIRONMENT.number("PAPERDESK_HOT_HASHES_MAX", 50_000)
ARCHIVE_DAYS = ENVIRONMENT.number("PAPERDESK_ARCHIVE_DAYS", 0)
METRICS_TOKEN = ENVIRONMENT.text("PAPERDESK_METRICS_TOKEN")


def _secret_key() -> str:
    """Return SECRET_KEY, or the one made at first use and kept in the data folder, readable by its owner only."""
    if key := ENVIRONMENT.text("SECRET_KEY"):
        return key
    file = DATA / "secret_key"
    if not file.exists():
        draft = file.with_suffix(f".{os.getpid()}.draft")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(50))
        try:
            os.link(draft, file)  # fails when another process was first: then both use that one's key
        except FileExistsError:
            return file.read_text()
        finally:
            draft.unlink()
    return file.read_text()


def _database() -> dict[str, Any]:
    """Return Django's database entry. SQLite waits 20 s for its one writer and takes the write lock at BEGIN."""
    url = _DECISIONS["database_url"].value
    if url.startswith("sqlite:"):
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": url.removeprefix("sqlite:///"),
            "OPTIONS": {
                "timeout": 20,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    if not environment.is_address(url, "postgres", "postgresql"):
        shown = environment.masked(url)
        raise ConfigurationError(
            f"DATABASE_URL is {shown!r}; it must be sqlite:///FILE or postgres://user:password@host:5432/database"
        )
    entry: dict[str, Any] = environ.Env.db_url_config(url)
    # A connection that a restarted server dropped is noticed before use; 60 s keeps few idle ones. One to a machine
    # that is gone is lost after 20 s: the sync has only one thread, and libpq by itself waits for ever.
    patience = {"connect_timeout": 5, "tcp_user_timeout": 20_000, "keepalives_idle": 10, "keepalives_interval": 5}
    options = {**patience, **entry.get("OPTIONS", {})}
    return {**entry, "CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True, "OPTIONS": options}


# Django
SECRET_KEY = _secret_key()
DEBUG = ENVIRONMENT.flag("DEBUG")
ALLOWED_HOSTS = ENVIRONMENT.words("ALLOWED_HOSTS", "127.0.0.1,localhost")
CSRF_TRUSTED_ORIGINS = ENVIRONMENT.words("CSRF_TRUSTED_ORIGINS")
DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "paperdesk.urls"
ASGI_APPLICATION = "paperdesk.asgi.application"
TIME_ZONE = "UTC"
USE_TZ = True
LANGUAGE_CODE = "en-us"
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/login/"

INSTALLED_APPS = [
    "django.contrib.admin.apps.SimpleAdminConfig",  # `urls` finds the pages: only the web serves them
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "channels",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "axes",
    "csp",
    "django_structlog",
    "django_prometheus",
    "simple_history",
    "trading",
    "results",
    "paperdesk",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "paperdesk.static_files.StaticFiles",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "axes.middleware.AxesMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
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

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"] if (BASE_DIR / "static").is_dir() else []
WHITENOISE_USE_FINDERS = True  # no collectstatic step: files are served from where the apps keep them
WHITENOISE_AUTOREFRESH = DEBUG

SIMPLE_HISTORY_REVERT_DISABLED = True  # history is for reading: an old state is saved anew, as a change of today

# Who may come in
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
AXES_HANDLER = "axes.handlers.cache.AxesCacheHandler"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25  # hours
AXES_VERBOSE = False
AXES_ENABLE_ADMIN = False  # attempts are counted in the cache; the tables that its pages would show stay empty
AXES_LOCKOUT_TEMPLATE = "registration/locked.html"

SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
# The desk listens on 127.0.0.1 without TLS; behind a TLS proxy its origin is listed, and cookies become secure.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = any(o.startswith("https:") for o in CSRF_TRUSTED_ORIGINS)

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}

# Redis as a service: cache, channels, broker
# A page waits at most 2 s for the cache; the pool is per process and larger than the web's thread pool.
CACHE_SECONDS_MAX = 2
CHANNEL_PREFIX = "paperdesk:channels"

if REDIS_SERVICE_URL:
    CACHES = {
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": REDIS_SERVICE_URL,
            "KEY_PREFIX": "paperdesk:cache",
            "OPTIONS": {
                "SOCKET_CONNECT_TIMEOUT": CACHE_SECONDS_MAX,
                "SOCKET_TIMEOUT": CACHE_SECONDS_MAX,
                "CONNECTION_POOL_KWARGS": {"max_connections": 64, "health_check_interval": 10},
            },
        }
    }
    CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            "CONFIG": {
                # A quiet channel is read with BZPOPMIN for 5 s: redis-py's own read timeout of 5 s would end it.
                "hosts": [{"address": REDIS_SERVICE_URL, "socket_timeout": 8, "socket_connect_timeout": 3}],
                "prefix": CHANNEL_PREFIX,
                "capacity": 100,
                "expiry": 10,
            },
        }
    }
    CELERY_BROKER_URL = REDIS_SERVICE_URL
    # kombu polls with BRPOP for 1 s: a read that takes 5 s is a dead connection. Its defaults wait for ever.
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
        "global_keyprefix": "paperdesk:celery:",
        "socket_timeout": 5.0,
        "socket_connect_timeout": 3.0,
        "socket_keepalive": True,
        "health_check_interval": 10,
    }
else:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    CELERY_BROKER_URL = "memory://"
    SILENCED_SYSTEM_CHECKS = ["axes.W001"]  # lock-outs need a shared cache; without Redis no page is served

# Celery
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ROUTES = schedule.TASK_ROUTES
CELERY_BEAT_SCHEDULE = schedule.BEAT_SCHEDULE
CELERY_BEAT_SCHEDULER = "paperdesk.broker:BriefScheduler"
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA / "beat")  # its default is the folder that beat happens to be started in
CELERY_TIMEZONE = "UTC"
# No bound: an acknowledgement that fails while Redis restarts never gives its place back, and with a bound of one the
# worker would take no task again. A solo worker takes the next one only when it is done with the last anyway.
CELERY_WORKER_PREFETCH_MULTIPLIER = 0
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# A Redis whose disk is full refuses to hand out a task (MISCONF): kombu's word for an error in an answer is a channel
# error. A worker waits for its end as for that of a lost connection.
CELERY_BROKER_CHANNEL_ERROR_RETRY = True

# API
REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_FILTER_BACKENDS": [
        "django_filters.rest_framework.DjangoFilterBackend",
        "rest_framework.filters.OrderingFilter",
    ],
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.UserRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"user": "600/min"},
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}
SPECTACULAR_SETTINGS = {
    "TITLE": "PaperDesk",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# Logs
LOGGING = logs.logging_settings(ENVIRONMENT.text("PAPERDESK_LOG", "console"))
logs.configure_structlog()
