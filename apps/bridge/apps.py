from django.apps import AppConfig


class BridgeConfig(AppConfig):
    name = "apps.bridge"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = "Bridge"
