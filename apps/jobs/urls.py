"""Addresses of this room."""

from django.urls import path

from apps.jobs import views

app_name = "jobs"
urlpatterns = [path("events/<slug:kind>/<int:pk>/", views.events, name="events")]
