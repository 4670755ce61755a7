"""Addresses of the pages of webhooks. Hooks themselves come to the webhook service, not here."""

from django.urls import path

from apps.deployments.hooks import views

app_name = "hooks"
urlpatterns = [
    path("webhooks/", views.show_hooks, name="list"),
    path("webhooks/new/in/", views.add_source, name="source-new"),
    path("webhooks/new/out/", views.add_target, name="target-new"),
    path("webhooks/in/<slug:name>/", views.show_source, name="source"),
    path("webhooks/in/<slug:name>/switch/", views.switch_source, name="source-switch"),
    path("webhooks/deliveries/<int:pk>/", views.show_delivery, name="delivery"),
    path("webhooks/deliveries/<int:pk>/redeliver/", views.redeliver, name="redeliver"),
    path("webhooks/out/<slug:name>/", views.show_target, name="target"),
    path("webhooks/out/<slug:name>/switch/", views.switch_target, name="target-switch"),
    path("webhooks/out/<slug:name>/test/", views.test_target, name="target-test"),
    path("webhooks/notices/<int:pk>/", views.show_notice, name="notice"),
    path("webhooks/notices/<int:pk>/resend/", views.resend, name="resend"),
]
