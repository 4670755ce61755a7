"""The cases that ship with the project and need no room above this one. Importing them registers them."""

from apps.testruns.builtin import core, environment

__all__ = ["core", "environment"]
