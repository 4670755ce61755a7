"""The frame of every page, portal and admin alike: name, colours, sidebar. Read by django-unfold."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy

# Tailwind's slate and indigo: the CSS of the portal leans on these variables.
_SLATE = [
    "#f8fafc",
    "#f1f5f9",
    "#e2e8f0",
    "#cbd5e1",
    "#94a3b8",
    "#64748b",
    "#475569",
    "#334155",
    "#1e293b",
    "#0f172a",
    "#020617",
]
_INDIGO = [
    "#eef2ff",
    "#e0e7ff",
    "#c7d2fe",
    "#a5b4fc",
    "#818cf8",
    "#6366f1",
    "#4f46e5",
    "#4338ca",
    "#3730a3",
    "#312e81",
    "#1e1b4b",
]
_WEIGHTS = ["50", "100", "200", "300", "400", "500", "600", "700", "800", "900", "950"]


def _may(action: str) -> Any:
    def permission(request: HttpRequest) -> bool:
        from apps.accounts import policy  # settings are read before the rooms are loaded

        return policy.allowed(request.user, action)

    return permission


def _file(path: str) -> Any:
    return lambda request: static(path)


def _exactly(path: str) -> Any:
    """The front page is a part of every address, so it is marked only where it is the whole."""
    return lambda request: request.path == path


def _under(*paths: str) -> Any:
    """For pages whose addresses begin otherwise than the link's own."""
    return lambda request: request.path.startswith(paths)


UNFOLD = {
    "SITE_TITLE": "Flow Control",
    "SITE_HEADER": "Flow Control",
    "SITE_SUBHEADER": "Data flows, told true",
    "SITE_SYMBOL": "account_tree",
    "SITE_URL": None,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _file("portal/icon.svg")}],
    "ENVIRONMENT": "apps.portal.frame.environment_label",
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "LOGIN": {"form": "apps.portal.forms.LoginForm"},
    "STYLES": [_file("portal/portal.css")],
    "SCRIPTS": [],
    "COLORS": {
        "base": dict(zip(_WEIGHTS, _SLATE, strict=True)),
        "primary": dict(zip(_WEIGHTS, _INDIGO, strict=True)),
    },
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": False,
        "navigation": [
            {
                "items": [
                    {
                        "title": "Overview",
                        "icon": "space_dashboard",
                        "link": reverse_lazy("portal:overview"),
                        "active": _exactly("/"),
                        "permission": _may("portal.view"),
                    },
                    {
                        "title": "Flows",
                        "icon": "account_tree",
                        "link": reverse_lazy("flows:list"),
                        "permission": _may("flows.view"),
                    },
                    {
                        "title": "Runs",
                        "icon": "play_circle",
                        "link": reverse_lazy("runs:list"),
                        "permission": _may("runs.view"),
                    },
                    {
                        "title": "Tests",
                        "icon": "fact_check",
                        "link": reverse_lazy("testruns:list"),
                        "permission": _may("testruns.view"),
                    },
                    {
                        "title": "Deployments",
                        "icon": "rocket_launch",
                        "link": reverse_lazy("deployments:lanes"),
                        "active": _under("/deployments/"),
                        "permission": _may("deployments.view"),
                    },
                    {
                        "title": "Releases",
                        "icon": "package_2",
                        "link": reverse_lazy("deployments:releases"),
                        "active": _under("/releases/", "/builds/"),
                        "permission": _may("deployments.view"),
                    },
                ]
            },
            {
                "title": "Govern",
                "separator": True,
                "items": [
                    {
                        "title": "Environments",
                        "icon": "dns",
                        "link": reverse_lazy("portal:environments"),
                        "active": _under("/environments/", "/stacks/"),
                        "permission": _may("environments.view"),
                    },
                    {
                        "title": "Webhooks",
                        "icon": "webhook",
                        "link": reverse_lazy("hooks:list"),
                        "permission": _may("hooks.view"),
                    },
                    {
                        "title": "Audit",
                        "icon": "policy",
                        "link": reverse_lazy("portal:audit"),
                        "permission": _may("audit.view"),
                    },
                    {
                        "title": "Administration",
                        "icon": "settings",
                        "link": reverse_lazy("admin:index"),
                        "permission": _may("admin.view"),
                    },
                ],
            },
        ],
    },
}
