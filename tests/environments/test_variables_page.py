"""The page of variables and secrets: who sees what, what the forms do, and that a secret never comes back."""

import pytest
from django.test import Client

from apps.audit.actors import SYSTEM
from apps.environments import variables
from apps.environments.models import Environment, Secret, Variable
from tests.factories import EnvironmentFactory
from tests.portal.people import person

pytestmark = pytest.mark.django_db
PLANTED = "hunter2-planted"
PAGE = "/environments/dev/variables/"
SET_SECRET, SET_VARIABLE = "/environments/dev/secrets/set/", "/environments/dev/variables/set/"


@pytest.fixture(autouse=True)
def keys(settings, tmp_path):
    settings.SECRETS_KEYS_PATH = tmp_path / "secrets_keys"
    settings.SECRETS_KEYS = ""


@pytest.fixture
def dev():
    return Environment.objects.get(slug="dev")


def client(role="operator", **scope):
    found = Client()
    found.force_login(person(role, **scope))
    return found


def secret(name="DB_PASSWORD", value=PLANTED):
    return {"secret-name": name, "secret-value": value}


def variable(name="GREETING", value="hello"):
    return {"variable-name": name, "variable-value": value}


def test_it_lists_what_is_set_by_whom_and_how_it_is_used(dev):
    variables.set_secret(by=SYSTEM, environment=dev, name="DB_PASSWORD", value=PLANTED)
    variables.set_variable(by=SYSTEM, environment=dev, name="POSTGRES_PASSWORD", value="secret:DB_PASSWORD")
    variables.set_variable(by=SYSTEM, environment=dev, name="GREETING", value="<b>hello</b>")
    page = client().get(PAGE).content.decode()
    assert "set, 15 characters" in page
    assert Secret.objects.get().fingerprint in page
    assert "POSTGRES_PASSWORD" in page
    assert "&lt;b&gt;hello&lt;/b&gt;" in page
    assert "by system" in page
    assert PLANTED not in page


def test_an_auditor_sees_it_and_gets_no_forms(dev):
    variables.set_variable(by=SYSTEM, environment=dev, name="GREETING", value="hello")
    page = client("auditor").get(PAGE).content.decode()
    assert "GREETING" in page
    assert 'name="secret-value"' not in page
    assert "unset/" not in page


def test_an_operator_of_another_environment_sees_nothing():
    EnvironmentFactory(slug="staging")
    found = client(environment="staging")
    assert found.get(PAGE).status_code == 403
    assert found.get("/environments/staging/variables/").status_code == 200
    assert found.post(SET_SECRET, secret()).status_code == 403
    assert not Secret.objects.exists()


def test_an_environment_that_is_not_there_is_not_found():
    assert client().get("/environments/nowhere/variables/").status_code == 404


def test_a_secret_is_set_and_what_is_said_does_not_repeat_it(dev):
    page = client().post(SET_SECRET, secret(), follow=True)
    assert variables.resolved(dev) == {"DB_PASSWORD": PLANTED}
    assert "The secret DB_PASSWORD is set." in page.content.decode()
    assert PLANTED not in page.content.decode()
    assert Secret.objects.get().changed_by == "operator"


def test_a_secret_is_taken_as_it_was_typed(dev):
    client().post(SET_SECRET, secret(value="  spaces count  "))
    assert variables.resolved(dev) == {"DB_PASSWORD": "  spaces count  "}


@pytest.mark.parametrize("data", [secret(name="lower"), secret(name=""), secret(value="abc"), secret(name="PATH")])
def test_after_an_error_the_name_stays_and_the_value_is_gone(data):
    answer = client().post(SET_SECRET, data)
    page = answer.content.decode()
    assert answer.status_code == 422
    assert data["secret-value"] not in page
    assert f'value="{data["secret-name"]}"' in page or not data["secret-name"]
    assert not Secret.objects.exists()


def test_browsers_do_not_keep_the_value():
    page = client().get(PAGE).content.decode()
    field = page[page.index('name="secret-value"') - 60 :][:300]
    assert 'type="password"' in field
    assert 'autocomplete="off"' in field


def test_a_variable_is_set_changed_and_taken_away_after_a_question(dev):
    operator = client()
    operator.post(SET_VARIABLE, variable(value="one\r\ntwo"))
    assert Variable.objects.get().value == "one\ntwo"
    page = operator.get(PAGE + "?variable=GREETING").content.decode()
    assert 'value="GREETING"' in page
    question = operator.get(PAGE + "GREETING/unset/").content.decode()
    assert "Take the variable GREETING away?" in question
    assert Variable.objects.exists()
    operator.post(PAGE + "GREETING/unset/")
    assert not Variable.objects.exists()


def test_a_misspelt_reference_is_told_beside_the_form(dev):
    variables.set_secret(by=SYSTEM, environment=dev, name="DB_PASSWORD", value=PLANTED)
    answer = client().post(SET_VARIABLE, variable(value="secret:DB_PASWORD"))
    assert answer.status_code == 422
    assert "Did you mean DB_PASSWORD?" in answer.content.decode()


def test_a_secret_in_use_is_not_deleted_and_says_by_what(dev):
    variables.set_secret(by=SYSTEM, environment=dev, name="DB_PASSWORD", value=PLANTED)
    variables.set_variable(by=SYSTEM, environment=dev, name="POSTGRES_PASSWORD", value="secret:DB_PASSWORD")
    operator, address = client(), "/environments/dev/secrets/DB_PASSWORD/delete/"
    assert "POSTGRES_PASSWORD" in operator.get(address).content.decode()
    assert operator.post(address).status_code == 409
    assert Secret.objects.exists()
    operator.post(PAGE + "POSTGRES_PASSWORD/unset/")
    operator.post(address)
    assert not Secret.objects.exists()


def test_a_prefilled_secret_has_its_name_alone(dev):
    variables.set_secret(by=SYSTEM, environment=dev, name="DB_PASSWORD", value=PLANTED)
    page = client().get(PAGE + "?secret=DB_PASSWORD").content.decode()
    assert 'value="DB_PASSWORD"' in page
    assert PLANTED not in page


def test_the_page_costs_the_same_however_much_is_set(dev, django_assert_max_num_queries):
    for number in range(30):
        variables.set_secret(by=SYSTEM, environment=dev, name=f"S_{number}", value=f"value-of-{number}")
        variables.set_variable(by=SYSTEM, environment=dev, name=f"V_{number}", value=f"secret:S_{number}")
    operator = client()
    with django_assert_max_num_queries(10):
        assert operator.get(PAGE).status_code == 200
