"""Addresses of this room. A flow's address is its name; no name is a dash."""

from django.urls import path

from apps.flows import views

app_name = "flows"
urlpatterns = [
    path("flows/", views.list_flows, name="list"),
    path("flows/-/new/", views.new_flow, name="new"),
    path("flows/-/check/", views.check_text, name="check"),
    path("flows/<str:name>/", views.show_flow, name="detail"),
    path("flows/<str:name>/edit/", views.edit_flow, name="edit"),
    path("flows/<str:name>/archive/", views.archive_flow, name="archive"),
    path("flows/<str:name>/restore/", views.restore_flow, name="restore"),
    path("flows/<str:name>/test/", views.test_flow, name="test"),
    path("flows/<str:name>/versions/", views.list_versions, name="versions"),
    path("flows/<str:name>/versions/<int:number>/", views.show_version, name="version"),
    path("flows/<str:name>/versions/<int:old>/<int:new>/", views.show_difference, name="diff"),
]
