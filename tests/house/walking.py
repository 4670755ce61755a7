"""The addresses that Django really knows, and what they answer to whom."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.db import transaction
from django.shortcuts import resolve_url
from django.test import Client
from django.urls import URLResolver, get_resolver, reverse

MAY, MAY_NOT, NO_SUCH_METHOD = "may", "may not", "no such method"


@dataclass(frozen=True)
class Known:
    name: str  # "flows:list"; the pattern of one without a name
    pattern: str
    view: Any


def routes() -> Iterator[Known]:
    """Every address of the house."""
    yield from _walk(get_resolver().url_patterns, "", ())


def _walk(patterns: list[Any], prefix: str, spaces: tuple[str, ...]) -> Iterator[Known]:
    for each in patterns:
        pattern = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from _walk(each.url_patterns, pattern, (*spaces, each.namespace) if each.namespace else spaces)
        else:
            yield Known(":".join((*spaces, each.name)) if each.name else pattern, pattern, each.callback)


def admin_routes() -> dict[str, tuple[str, str]]:
    """Names of the addresses of each registered model: (label of the model, what is done there)."""
    found = {}
    for model in admin.site._registry:
        room, name = model._meta.app_label, model._meta.model_name
        for verb in ("changelist", "add", "change", "delete", "history"):
            found[f"admin:{room}_{name}_{verb}"] = (model._meta.label_lower, verb)
        found[f"admin/{room}/{name}/<path:object_id>/"] = (model._meta.label_lower, "lead to change")
    return found


def asked(client: Client, method: str, url: str) -> tuple[str, int]:
    """What the house answers, in a word and as a status. Whatever the request changed is undone."""
    cookies = copy.deepcopy(client.cookies)
    with transaction.atomic():
        response = getattr(client, method)(url)
        transaction.set_rollback(True)
    client.cookies = cookies
    if response.status_code == 405:
        return NO_SUCH_METHOD, 405
    if response.status_code in (401, 403) or _leads_away(response, url):
        return MAY_NOT, response.status_code
    return MAY, response.status_code


def _leads_away(response: Any, url: str) -> bool:
    """To the login page; or, from the front page of the admin, to the portal."""
    if response.status_code != 302:
        return False
    to_login = response["Location"].startswith(resolve_url("admin:login") + "?next=")
    to_portal = url == reverse("admin:index") and response["Location"] == "/"
    return to_login or to_portal
