"""Passwords are hashed cheaply here: a hash that is slow on purpose makes nothing truer in a test."""

import pytest

from tests.accounts.people import person


@pytest.fixture(autouse=True)
def cheap_hashes(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def ada(db):
    """The admin."""
    return person("ada", "admin")


@pytest.fixture
def bob(db):
    """Somebody without a role."""
    return person("bob")
