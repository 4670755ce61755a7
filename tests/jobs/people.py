"""A small cast: someone who may view runs in dev, and someone with an account and no role."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model


def viewer() -> Any:
    return get_user_model().objects.create_user("viewer", password="a-long-password")


def stranger() -> Any:
    return get_user_model().objects.create_user("stranger", password="a-long-password")
