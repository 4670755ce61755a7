"""Addresses of this room."""

from django.urls import path

from apps.testruns import views

app_name = "testruns"
urlpatterns = [
    path("tests/", views.list_testruns, name="list"),
    path("tests/new/", views.new_testrun, name="new"),
    path("tests/<int:pk>/", views.show_testrun, name="detail"),
    path("tests/<int:pk>/live/", views.live_testrun, name="live"),
    path("tests/<int:pk>/cancel/", views.cancel_testrun, name="cancel"),
    path("tests/<int:pk>/export/<str:form>/", views.export, name="export"),
    path("tests/<int:pk>/cases/<int:case>/", views.show_case, name="case"),
    path("tests/<int:pk>/cases/<int:case>/quarantine/", views.quarantine, name="quarantine"),
    path("tests/<int:pk>/cases/<int:case>/release/", views.release, name="release"),
]
