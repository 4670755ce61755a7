"""A workspace of the test's own, and messages that go nowhere: no test sends one to a broker."""

import pytest

from apps.jobs import messages


@pytest.fixture(autouse=True)
def workspaces(settings, tmp_path):
    settings.WORKSPACES = tmp_path / "workspaces"
    (settings.WORKSPACES / "dev").mkdir(parents=True)
    return settings.WORKSPACES


@pytest.fixture(autouse=True)
def sent(monkeypatch):
    """The (kind, id) of each message that was sent."""
    found = []

    def send(kind, pk, queue):
        found.append((kind.name, pk))
        return True

    monkeypatch.setattr(messages, "send", send)
    return found
