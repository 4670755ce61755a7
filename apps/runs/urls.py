"""Addresses of this room."""

from django.urls import path

from apps.runs import views

app_name = "runs"
urlpatterns = [
    path("flows/<str:name>/run/", views.new_run, name="new"),
    path("runs/", views.list_runs, name="list"),
    path("runs/<int:pk>/", views.show_run, name="detail"),
    path("runs/<int:pk>/live/", views.live_run, name="live"),
    path("runs/<int:pk>/cancel/", views.cancel_run, name="cancel"),
    path("runs/<int:pk>/rerun/", views.rerun, name="rerun"),
    path("runs/<int:pk>/log/", views.download_log, name="log"),
    path("runs/<int:pk>/steps/<str:name>/", views.show_step, name="step"),
    path("runs/<int:pk>/outputs/<int:output>/", views.show_output, name="output"),
    path("runs/<int:pk>/outputs/<int:output>/download/", views.download_output, name="download"),
]
