"""Addresses of this room."""

from django.urls import path

from apps.environments import views_variables

app_name = "environments"
urlpatterns = [
    path("environments/<slug:slug>/variables/", views_variables.show_variables, name="variables"),
    path("environments/<slug:slug>/variables/set/", views_variables.set_variable, name="variable-set"),
    path("environments/<slug:slug>/variables/<str:name>/unset/", views_variables.unset_variable, name="variable-unset"),
    path("environments/<slug:slug>/secrets/set/", views_variables.set_secret, name="secret-set"),
    path("environments/<slug:slug>/secrets/<str:name>/delete/", views_variables.delete_secret, name="secret-delete"),
]
