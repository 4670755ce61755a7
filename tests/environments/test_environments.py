import pytest
from django.db import IntegrityError

from apps.environments.models import Environment, WorkspaceUnavailable
from tests.factories import EnvironmentFactory

pytestmark = pytest.mark.django_db


def test_dev_is_there_from_the_start():
    dev = Environment.objects.get()
    assert (dev.slug, dev.position, dev.queue) == ("dev", 0, "flows.dev")


def test_its_workspace_is_made_when_it_is_asked_for(workspaces):
    folder = EnvironmentFactory(slug="staging").workspace
    assert folder == workspaces / "staging"
    assert folder.is_dir()


def test_asking_for_the_workspace_again_keeps_what_is_in_it():
    dev = Environment.objects.get()
    (dev.workspace / "kept.csv").write_text("a\n1\n")
    assert (dev.workspace / "kept.csv").read_text() == "a\n1\n"


def test_a_workspace_that_cannot_be_made_says_what_to_do(settings, tmp_path):
    (tmp_path / "file").write_text("")
    settings.WORKSPACES = tmp_path / "file"
    with pytest.raises(WorkspaceUnavailable) as refused:
        _ = Environment.objects.get().workspace
    assert "workspace of dev" in refused.value.message
    assert refused.value.hint


def test_two_environments_cannot_share_a_slug():
    with pytest.raises(IntegrityError):
        Environment.objects.create(slug="dev", name="Another")


def test_they_stand_in_the_order_of_promotion():
    EnvironmentFactory(slug="production", position=2)
    EnvironmentFactory(slug="staging", position=1)
    assert [each.slug for each in Environment.objects.all()] == ["dev", "staging", "production"]
