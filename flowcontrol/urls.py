"""Every address of the portal. Each room brings its own; a test walks them all against every role."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("apps.flows.urls")),
    path("", include("apps.runs.urls")),
    path("", include("apps.testruns.urls")),
    path("", include("apps.environments.urls")),
    path("", include("apps.deployments.urls")),
    path("", include("apps.deployments.hooks.urls")),
    path("", include("apps.jobs.urls")),
    path("", include("apps.portal.urls")),
]
