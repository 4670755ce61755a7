import os

from django.conf import settings
from django.core.asgi import get_asgi_application

from flowcontrol.forwarded import BehindProxy

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flowcontrol.settings")
application = get_asgi_application()
if settings.TRUSTED_PROXY:
    application = BehindProxy(application, settings.TRUSTED_PROXY)  # type: ignore[assignment]
