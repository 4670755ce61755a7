"""What may be set, by whom, what is told of it, and what compose is given."""

import pytest

from apps.accounts.policy import Denied
from apps.audit.actors import SYSTEM
from apps.audit.models import AuditEvent
from apps.common import masking
from apps.environments import variables
from apps.environments.models import Environment, Secret, SecretGeneration, Variable
from apps.environments.stages import stack
from apps.environments.variables import SecretInUse, VariableInvalid, VariableMissing
from tests.factories import EnvironmentFactory
from tests.portal.people import person

pytestmark = pytest.mark.django_db
PLANTED = "hunter2-planted"


@pytest.fixture(autouse=True)
def keys(settings, tmp_path):
    settings.SECRETS_KEYS_PATH = tmp_path / "secrets_keys"
    settings.SECRETS_KEYS = ""


@pytest.fixture
def dev():
    return Environment.objects.get(slug="dev")


def put(environment, name="DB_PASSWORD", value=PLANTED, by=SYSTEM):
    return variables.set_secret(by=by, environment=environment, name=name, value=value)


def assign(environment, name, value, by=SYSTEM):
    return variables.set_variable(by=by, environment=environment, name=name, value=value)


def newest():
    return AuditEvent.objects.order_by("-seq").first()


def test_compose_is_given_variables_secrets_and_secrets_under_other_names(dev):
    put(dev)
    assign(dev, "POSTGRES_PASSWORD", "secret:DB_PASSWORD")
    assign(dev, "GREETING", "hello")
    given = variables.resolved(dev)
    assert given == {"DB_PASSWORD": PLANTED, "POSTGRES_PASSWORD": PLANTED, "GREETING": "hello"}
    assert PLANTED not in f"{given!r} {given}"


def test_the_stack_is_told_what_is_secret_and_what_is_not(dev):
    put(dev)
    assign(dev, "POSTGRES_PASSWORD", "secret:DB_PASSWORD")
    assign(dev, "GREETING", "hello")
    assert stack.plain_variables(dev) == {"GREETING": "hello"}
    assert stack.secret_variables(dev) == {"DB_PASSWORD": PLANTED, "POSTGRES_PASSWORD": PLANTED}
    assert stack.masker(dev)(f"a {PLANTED} b") == f"a {masking.MASK} b"


def test_each_environment_has_its_own(dev):
    staging = EnvironmentFactory(slug="staging")
    put(dev)
    put(staging, value="another-value")
    assert variables.resolved(staging) == {"DB_PASSWORD": "another-value"}


@pytest.mark.parametrize("name", ["", "lower", "1ST", "A-B", "A B", "A" * 101, "Ä", "A\n"])
def test_a_name_is_capital_letters_digits_and_underscores(dev, name):
    for set_it in (put, assign):
        with pytest.raises(VariableInvalid) as refused:
            set_it(dev, name, "some-value")
        assert refused.value.hint


@pytest.mark.parametrize(
    "name", ["PATH", "LD_PRELOAD", "DOCKER_HOST", "COMPOSE_FILE", "PYTHONPATH", "HOME", "BASH_ENV"]
)
def test_what_decides_how_docker_is_run_is_not_set_here(dev, name):
    with pytest.raises(VariableInvalid, match="how Docker itself is run"):
        assign(dev, name, "x")


@pytest.mark.parametrize("name", ["COMPOSE_PROFILES", "APP_PORT", "PATHS", "HOMEPAGE", "MY_PATH"])
def test_what_a_project_reads_may_be_set(dev, name):
    assert assign(dev, name, "x").pk


@pytest.mark.parametrize(
    "value",
    ["", "abc", "   a   ", "admin", "8080", "succeeded", "dev", "a\0b-long-enough", "x" * 40_000, "half \ud800 one"],
)
def test_a_value_that_could_not_be_masked_or_given_is_no_secret(dev, value):
    with pytest.raises(VariableInvalid) as refused:
        put(dev, value=value)
    assert refused.value.hint
    assert len(value) < 4 or value not in refused.value.message


def test_a_misspelt_reference_says_what_was_meant(dev):
    put(dev)
    with pytest.raises(VariableMissing) as refused:
        assign(dev, "POSTGRES_PASSWORD", "secret:DB_PASWORD")
    assert "Did you mean DB_PASSWORD?" in refused.value.hint
    assert not Variable.objects.exists()


def test_a_reference_that_leads_nowhere_is_told_by_name_when_it_is_used(dev):
    put(dev)
    assign(dev, "POSTGRES_PASSWORD", "secret:DB_PASSWORD")
    Secret.objects.update(name="DB_PASSWORT")  # as only a hand in the database does
    from apps.environments import sealing

    row = Secret.objects.select_related("environment").get()
    sealing.seal(row, PLANTED)
    row.save()
    with pytest.raises(VariableMissing) as missing:
        variables.resolved(dev)
    assert "POSTGRES_PASSWORD refers to the secret DB_PASSWORD, which dev does not have" in missing.value.message
    assert "Did you mean DB_PASSWORT?" in missing.value.hint


def test_what_a_compose_file_needs_and_is_not_there_is_told_with_what_was_meant(dev):
    with pytest.raises(VariableMissing) as missing:
        variables.require(dev, ["GREETING", "API_TOKEN"], {"GREETING": "x", "API_TOKENS": "x"})
    assert "no variable or secret API_TOKEN" in missing.value.message
    assert "Did you mean API_TOKENS?" in missing.value.hint


def test_a_name_is_a_variable_or_a_secret(dev):
    put(dev, "TAKEN")
    with pytest.raises(VariableInvalid, match="has a secret TAKEN already"):
        assign(dev, "TAKEN", "x")
    assign(dev, "TAKEN_TOO", "x")
    with pytest.raises(VariableInvalid, match="has a variable TAKEN_TOO already"):
        put(dev, "TAKEN_TOO")


def test_a_secret_that_a_variable_needs_stays(dev):
    put(dev)
    assign(dev, "POSTGRES_PASSWORD", "secret:DB_PASSWORD")
    with pytest.raises(SecretInUse, match="given to POSTGRES_PASSWORD"):
        variables.delete_secret(by=SYSTEM, environment=dev, name="DB_PASSWORD")
    variables.unset_variable(by=SYSTEM, environment=dev, name="POSTGRES_PASSWORD")
    variables.delete_secret(by=SYSTEM, environment=dev, name="DB_PASSWORD")
    assert variables.resolved(dev) == {}


def test_what_is_not_there_cannot_be_taken_away(dev):
    for take in (variables.unset_variable, variables.delete_secret):
        with pytest.raises(VariableMissing):
            take(by=SYSTEM, environment=dev, name="GREETING")


# --- the audit --------------------------------------------------------------------------------------


def test_a_variable_is_told_with_what_it_was_and_is(dev):
    assign(dev, "GREETING", "hello")
    assign(dev, "GREETING", "good day")
    event = newest()
    assert (event.kind, event.target, event.environment) == ("variable.set", "variable:dev/GREETING", "dev")
    assert event.detail == {"GREETING": ["hello", "good day"]}
    variables.unset_variable(by=SYSTEM, environment=dev, name="GREETING")
    assert (newest().kind, newest().detail) == ("variable.unset", {"GREETING": ["good day", None]})


def test_a_variable_that_sounds_like_a_secret_is_told_without_its_value(dev):
    assign(dev, "ADMIN_PASSWORD", "oh no plain")
    assert "plain" not in str(newest().detail)


def test_the_same_variable_again_is_no_event(dev):
    assign(dev, "GREETING", "hello")
    before = newest().seq
    assign(dev, "GREETING", "hello")
    assert newest().seq == before


def test_a_secret_is_told_without_its_value(dev):
    put(dev)
    put(dev, value="another-value")
    variables.delete_secret(by=SYSTEM, environment=dev, name="DB_PASSWORD")
    told = list(
        AuditEvent.objects.filter(kind__startswith="secret.").order_by("seq").values_list("kind", "target", "detail")
    )
    target = "secret:dev/DB_PASSWORD"
    assert told == [
        ("secret.set", target, {"version": 1}),
        ("secret.set", target, {"version": 2}),
        ("secret.delete", target, {"version": 2}),
    ]


def test_what_the_audit_cannot_have_does_not_happen(dev, monkeypatch):
    def refuse(*args, **kwargs):
        raise RuntimeError("the audit is full")

    monkeypatch.setattr(variables, "record", refuse)
    for act in (put, lambda environment: assign(environment, "GREETING", "hello")):
        with pytest.raises(RuntimeError):
            act(dev)
    assert not Secret.objects.exists()
    assert not Variable.objects.exists()


# --- rights -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "may"), [("viewer", False), ("author", False), ("operator", True), ("admin", True), ("auditor", False)]
)
def test_operators_and_admins_set(dev, role, may):
    by = person(role)
    acts = [
        lambda: assign(dev, "GREETING", "hello", by=by),
        lambda: put(dev, by=by),
        lambda: variables.unset_variable(by=by, environment=dev, name="GREETING"),
        lambda: variables.delete_secret(by=by, environment=dev, name="DB_PASSWORD"),
    ]
    for act in acts:
        if may:
            act()
        else:
            with pytest.raises(Denied):
                act()


def test_an_operator_of_staging_does_not_set_in_dev(dev):
    by = person("operator", environment="staging")
    with pytest.raises(Denied, match="in dev"):
        put(dev, by=by)


def test_the_keys_are_changed_by_an_admin_of_the_whole_house():
    for by in (person("operator"), person("admin", environment="dev", name="small")):
        with pytest.raises(Denied):
            variables.rotate_secrets(by=by)
    assert variables.rotate_secrets(by=person("admin")).made


# --- masking ----------------------------------------------------------------------------------------


def test_a_secret_is_masked_from_the_moment_it_is_set_and_no_longer_than_it_is_one(dev):
    put(dev)
    assert masking.text(PLANTED) == masking.MASK
    put(dev, value="another-value")
    assert masking.text(f"{PLANTED} another-value") == f"{PLANTED} {masking.MASK}"


def test_a_secret_that_another_process_set_is_masked_too(dev, monkeypatch):
    from apps.environments import live

    monkeypatch.setattr(live, "_live", live._Live())
    put(dev)
    monkeypatch.setattr(live, "_live", live._Live())  # a process that knows of nothing yet
    assert masking.text(PLANTED) == masking.MASK
    number = SecretGeneration.objects.get().number
    live._live.masker, live._live.generation = masking.Masker(), number - 1  # one that knows an older generation
    assert masking.text(PLANTED) == PLANTED, "it was asked a moment ago"
    live._live.asked_at = float("-inf")
    assert masking.text(PLANTED) == masking.MASK


def test_a_text_costs_no_query_and_nothing_is_decrypted_again(dev, django_assert_num_queries, monkeypatch):
    from apps.environments import live

    put(dev)
    masking.text("settle")
    monkeypatch.setattr(live, "unseal", None)
    with django_assert_num_queries(0):
        for _ in range(100):
            masking.text(f"line {PLANTED}")
    live._live.asked_at = float("-inf")
    masking.text("asks for the number of the generation, and finds its own")


def test_text_is_not_lost_when_the_secrets_cannot_be_loaded(dev, monkeypatch, settings, tmp_path):
    from apps.environments import live

    put(dev)
    settings.SECRETS_KEYS = "broken"
    monkeypatch.setattr(live, "_live", live._Live())
    assert masking.text("a line") == "a line"
