"""What an environment may be made of, and what of a container's words reaches a terminal."""

import pytest

from apps.audit.actors import SYSTEM
from apps.common import masking
from apps.common.masking import Masker
from apps.environments import actions, looking
from apps.environments.actions import EnvironmentInvalid
from apps.environments.containers.plain import plain
from apps.environments.models import Environment
from apps.environments.stages import stack
from tests.environments import stacks

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "url",
    [
        "ssh://-oProxyCommand=x",
        "ssh://-oProxyCommand=x@host",
        "ssh://host -oProxyCommand=x",
        "ssh://user:password@host",
        "ssh://[",
        "ssh://",
        "ssh://host\n",
        "http://host",
        "tcp://",
        "unix://relative",
    ],
)
def test_what_is_no_address_of_an_engine_makes_no_environment(url):
    with pytest.raises(EnvironmentInvalid):
        actions.add_environment(by=SYSTEM, slug="shop", engine_url=url, engine_certificates="/certificates")
    assert not Environment.objects.filter(slug="shop").exists()


@pytest.mark.parametrize(
    "url",
    ["ssh://deploy@eu.example.org", "ssh://host:2222", "ssh://[::1]:22", "tcp://10.0.0.1:2376", "unix:///run/d.sock"],
)
def test_addresses_of_engines_are_taken(url):
    made = actions.add_environment(by=SYSTEM, slug="shop", engine_url=url, engine_certificates="/certificates")
    assert made.engine_url == url


@pytest.mark.parametrize("project", ["-shop", "Shop", "a b", "x/y", "x" * 61])
def test_what_compose_takes_for_no_name_is_none_of_a_project(project):
    with pytest.raises(EnvironmentInvalid):
        actions.add_environment(by=SYSTEM, slug="shop", project=project)


def test_two_environments_do_not_share_a_project_on_one_engine():
    """Each would remove what the other runs."""
    actions.add_environment(by=SYSTEM, slug="shop", project="flow-control-staging")
    with pytest.raises(EnvironmentInvalid, match="shop's already"):
        actions.add_environment(by=SYSTEM, slug="staging")
    actions.add_environment(by=SYSTEM, slug="staging", engine_url="ssh://elsewhere")


def test_a_portal_knows_its_own_stack_by_the_name_it_was_told(settings):
    settings.STACK, settings.ENVIRONMENT = "trial", "staging"
    assert Environment(slug="staging").project_name == "trial"
    assert Environment(slug="staging", project="other").project_name == "other"
    assert Environment(slug="production").project_name == "flow-control-production"


# --- words of containers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred", "red"),
        ("\x1bPquery\x1b\\", "Pquery\\"),
        ("a\tb\nc\r\x08\x00", "a\tb\nc"),
        ("grün, fertig", "grün, fertig"),
    ],
)
def test_nothing_that_a_terminal_would_do_is_left(said, shown):
    assert plain(said) == shown


def test_logs_on_a_terminal_are_plain_and_hide_a_secret_in_pieces(monkeypatch):
    monkeypatch.setattr(masking, "text", Masker(["hunter2-secret"]).text)
    monkeypatch.setattr(looking, "_there", lambda environment: [stacks.service(environment)])
    monkeypatch.setattr(stacks.Service, "service", "web", raising=False)
    monkeypatch.setattr(looking, "_said", lambda *_: ["\x1b]0;owned\x07hunter2\x1b[0m-secret \x1b[2J"])
    said = looking.logs(by=SYSTEM, environment=stacks.environment(), services=[], lines=5)
    assert said == "web | ••• \n"


def test_a_secret_in_pieces_is_hidden_from_pages_too(monkeypatch):
    monkeypatch.setattr(masking, "text", Masker(["hunter2-secret"]).text)
    assert stack.masker(stacks.environment())("hunter2\x1b[0m-secret") == "•••"
