"""Addresses of this room."""

from django.urls import path

from apps.deployments import views, views_releases

app_name = "deployments"
urlpatterns = [
    path("deployments/", views.show_lanes, name="lanes"),
    path("deployments/live/", views.live_lanes, name="lanes_live"),
    path("deployments/<int:pk>/", views.show_deployment, name="detail"),
    path("deployments/<int:pk>/live/", views.live_deployment, name="live"),
    path("deployments/<int:pk>/cancel/", views.cancel_deployment, name="cancel"),
    path("deployments/<int:pk>/approve/", views.approve_deployment, name="approve"),
    path("deployments/<int:pk>/log/", views.download_log, name="log"),
    path("deployments/plan/<slug:slug>/<str:release>/", views.show_plan, name="plan"),
    path("deployments/rollback/<slug:slug>/", views.roll_back, name="rollback"),
    path("deployments/unpin/<slug:slug>/", views.unpin, name="unpin"),
    path("releases/", views_releases.list_releases, name="releases"),
    path("releases/-/new/", views_releases.new_release, name="release_new"),
    path("releases/<str:name>/", views_releases.show_release, name="release"),
    path("releases/<str:name>/diff/", views_releases.show_difference, name="release_diff"),
    path("builds/<int:pk>/", views_releases.show_build, name="build"),
    path("builds/<int:pk>/live/", views_releases.live_build, name="build_live"),
    path("builds/<int:pk>/cancel/", views_releases.cancel_build, name="build_cancel"),
    path("builds/<int:pk>/log/", views_releases.download_build_log, name="build_log"),
]
