"""Settings, all from the environment. Every variable stands with its meaning in `.env.example`."""

import sys
from pathlib import Path

from django.urls import reverse_lazy

from apps.common.files import read_or_create_secret
from flowcontrol import bus, environment, logs
from flowcontrol.databases import database, read_only
from flowcontrol.unfold import UNFOLD as UNFOLD

BASE_DIR = Path(__file__).resolve().parent.parent

# --- where things are ----------------------------------------------------------------------
DATA = environment.folder("FLOWCONTROL_DATA", BASE_DIR / "data")
LOGS = environment.folder("FLOWCONTROL_LOGS", BASE_DIR / "logs")
ENVIRONMENT = environment.text("FLOWCONTROL_ENV", "dev")
STACK = environment.text("FLOWCONTROL_STACK")  # the compose project that this process runs in; "" for none
WORKSPACES = DATA / "workspaces"
EXAMPLES = BASE_DIR / "examples"
APP_PORT = environment.number("APP_PORT", 8080, 1, 65535)
# Where the portal answers, for what asks it as a browser does.
PORTAL_URL = environment.web_address("PORTAL_URL", f"http://127.0.0.1:{APP_PORT}")
WEBHOOK_PORT = environment.number("WEBHOOK_PORT", 9001, 1, 65535)

# --- switches ------------------------------------------------------------------------------
HOT_RELOAD = environment.choice("HOT_RELOAD", ("true", "false"), "false") == "true"
TEST_FRAMEWORK = environment.choice("TEST_FRAMEWORK", ("enabled", "disabled"), "enabled") == "enabled"
BRIDGE_PROTOCOL = environment.choice("BRIDGE_PROTOCOL", ("active", "inactive"), "active") == "active"
MONITORING = environment.choice("MONITORING", ("enabled", "disabled"), "disabled") == "enabled"
RECOVERY = environment.choice("RECOVERY", ("active", "inactive"), "active") == "active"
environment.check_switches(test_framework=TEST_FRAMEWORK, bridge_protocol=BRIDGE_PROTOCOL)

# --- security ------------------------------------------------------------------------------
DEBUG = environment.flag("DEBUG")
SECRET_KEY = environment.text("SECRET_KEY") or read_or_create_secret(DATA / "secret_key")
AUDIT_KEY = environment.text("AUDIT_KEY") or read_or_create_secret(DATA / "audit_key")
# Encrypt the secrets of environments, newest first. Empty: they are kept in the data folder, and read when they are needed.
SECRETS_KEYS = environment.text("SECRETS_KEYS")
SECRETS_KEYS_PATH = DATA / "secrets_keys"
DEFAULT_EXCEPTION_REPORTER = "flowcontrol.reporting.MaskingReporter"
DEFAULT_EXCEPTION_REPORTER_FILTER = "flowcontrol.reporting.MaskingReporterFilter"
ALLOWED_HOSTS = environment.words("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = environment.words("CSRF_TRUSTED_ORIGINS")
ADMIN_PASSWORD = environment.text("FLOWCONTROL_ADMIN_PASSWORD")
# What somebody at a terminal without an account may do: everything in development, nothing elsewhere.
CLI_HAS_RIGHTS = environment.flag("FLOWCONTROL_CLI_RIGHTS", ENVIRONMENT == "dev")
METRICS_TOKEN = environment.text("METRICS_TOKEN")
TRUSTED_PROXY = environment.text("TRUSTED_PROXY")
BEHIND_TLS = environment.flag("BEHIND_TLS")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BEHIND_TLS
if BEHIND_TLS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_AGE = 12 * 3600
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"

# --- the house: rooms from the top floor down ----------------------------------------------
ROOMS = [
    "apps.portal",
    "apps.deployments",
    "apps.runs",
    "apps.testruns",
    "apps.flows",
    "apps.environments",
    "apps.jobs",
    "apps.accounts",
    "apps.audit",
    "apps.bridge",
]
INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    *ROOMS,
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.staticfiles",
    "axes",
    "django_ace",
    "django_celery_beat",
    "django_eventstream",
    "django_htmx",
    "django_prometheus",
    "template_partials",
]
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "apps.accounts.middleware.ContentPolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "apps.accounts.middleware.PolicyMiddleware",
    "axes.middleware.AxesMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
ROOT_URLCONF = "flowcontrol.urls"
ASGI_APPLICATION = "flowcontrol.asgi.application"
UNCACHED_LOADERS = [
    "django.template.loaders.filesystem.Loader",
    "django.template.loaders.app_directories.Loader",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": not HOT_RELOAD,
        "OPTIONS": {
            # Without the loader that remembers: a changed template is live at the next request.
            **({"loaders": UNCACHED_LOADERS} if HOT_RELOAD else {}),
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "apps.portal.frame.frame",
            ],
        },
    },
]

# --- accounts ------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "apps.accounts.backends.PolicyBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
LOGIN_URL = reverse_lazy("admin:login")
LOGIN_REDIRECT_URL = "/"
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_RESET_ON_SUCCESS = True
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_USERNAME_CALLABLE = "apps.accounts.signals.typed_name"
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # or a stranger who goes on trying locks an account for ever
AXES_LOCKOUT_TEMPLATE = "accounts/locked.html"
AXES_ENABLE_ACCESS_FAILURE_LOG = False
AXES_DISABLE_ACCESS_LOG = True  # the audit has logins and failures
AXES_VERBOSE = False

# --- database, bus, work -------------------------------------------------------------------
DATABASES = {
    "default": database(environment.text("DATABASE_URL"), DATA, environment.text("DATABASE_PASSWORD")),
    "bridge": read_only(DATA / "test_state.db"),  # of the bridge; it may not be there
}
DATABASE_ROUTERS = ["apps.bridge.models.Router"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = environment.text("REDIS_URL") or bus.embedded_url(DATA)
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": bus.client_url(REDIS_URL)}}
CELERY_BROKER_URL = bus.broker_url(REDIS_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# Messages are hints; the rows decide. A message lost here is found again by the reconciler.
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 7 * 24 * 3600, "socket_keepalive": True}
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "control"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULER = "flowcontrol.beat:LivelyScheduler"
CELERY_TIMEZONE = "UTC"

# --- jobs ----------------------------------------------------------------------------------
LEASE_SECONDS = environment.number("LEASE_SECONDS", 10, 2, 3600)
HEARTBEAT_SECONDS = LEASE_SECONDS / 3
RECONCILE_SECONDS = 5
# Live events are read from the table of job events; the bus only hints (no EVENTSTREAM_REDIS: apps/jobs/live.py says why).
EVENTSTREAM_STORAGE_CLASS = "apps.jobs.live.JobEventStorage"
EVENTSTREAM_CHANNELMANAGER_CLASS = "apps.jobs.live.JobChannels"

# --- flows ---------------------------------------------------------------------------------
FLOW_MEMORY_BYTES = environment.number("FLOW_MEMORY_MB", 2048, 128) * 1024**2
FLOW_TEMP_BYTES = environment.number("FLOW_TEMP_MB", 10240, 16) * 1024**2
FLOW_WORKERS = environment.number("FLOW_WORKERS", 2, 1, 64)

# --- layered tests -------------------------------------------------------------------------
TEST_WORKERS = environment.number("TEST_WORKERS", 2, 1, 64)
CHROMIUM = environment.text("CHROMIUM")
# Budgets of staging's layer L3.
LOAD_REQUESTS = environment.number("LOAD_REQUESTS", 200, 1, 100_000)
LOAD_PARALLEL = environment.number("LOAD_PARALLEL", 8, 1, 200)
LOAD_SECONDS = environment.number("LOAD_SECONDS", 20, 1, 60)
LOAD_P95_MS = environment.number("LOAD_P95_MS", 1000, 1)
LOAD_RATE = environment.number("LOAD_RATE", 10, 0)
LOAD_ERRORS = environment.number("LOAD_ERRORS", 0, 0)
PAGE_MS = environment.number("PAGE_MS", 1000, 1)

# A text of 10 MB is refused by the language, with a reason and without being lost, not by the web server without either.
DATA_UPLOAD_MAX_MEMORY_SIZE = 16 * 1024**2

# --- words, times, files -------------------------------------------------------------------
LANGUAGE_CODE = "en"
TIME_ZONE = environment.text("TIME_ZONE", "UTC")
USE_TZ = True
STATIC_URL = "static/"
# In an image they are collected when it is built; elsewhere they are found where they stand.
STATIC_ROOT = environment.folder("FLOWCONTROL_STATIC", DATA / "static")
STATICFILES_DIRS = [BASE_DIR / "static"]
TESTING = "pytest" in sys.modules
WHITENOISE_USE_FINDERS = not environment.text("FLOWCONTROL_STATIC")
WHITENOISE_AUTOREFRESH = DEBUG or HOT_RELOAD

# A folder in which workers, controller and beat leave signs of life for the health checks of containers.
ALIVE = environment.text("FLOWCONTROL_ALIVE")
REVISION = environment.text("FLOWCONTROL_REVISION", "unknown")

LOGS_TO = environment.choice("LOGS_TO", ("files", "plain", "json"), "files")
LOGGING = logs.configuration(LOGS, environment.text("FLOWCONTROL_PROCESS"), LOGS_TO)
