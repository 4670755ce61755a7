"""Addresses of this room."""

from django.urls import path

from apps.environments import views, views_variables

app_name = "environments"
urlpatterns = [
    path("environments/<slug:slug>/", views.show_environment, name="detail"),
    path("environments/<slug:slug>/live/", views.live_environment, name="live"),
    path("environments/<slug:slug>/up/", views.bring_up, name="up"),
    path("environments/<slug:slug>/down/", views.bring_down, name="down"),
    path("environments/<slug:slug>/logs/<str:service>/", views.show_logs, name="logs"),
    path("stacks/<int:pk>/", views.show_stack, name="stack"),
    path("stacks/<int:pk>/live/", views.live_stack, name="stack_live"),
    path("stacks/<int:pk>/cancel/", views.cancel_stack, name="stack_cancel"),
    path("stacks/<int:pk>/log/", views.download_log, name="stack_log"),
    path("environments/<slug:slug>/variables/", views_variables.show_variables, name="variables"),
    path("environments/<slug:slug>/variables/set/", views_variables.set_variable, name="variable-set"),
    path("environments/<slug:slug>/variables/<str:name>/unset/", views_variables.unset_variable, name="variable-unset"),
    path("environments/<slug:slug>/secrets/set/", views_variables.set_secret, name="secret-set"),
    path("environments/<slug:slug>/secrets/<str:name>/delete/", views_variables.delete_secret, name="secret-delete"),
]
