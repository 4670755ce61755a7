"""The plan: what deploying a release would change, told before; and that what is done is what was agreed to."""

import json
from types import SimpleNamespace

import jsonschema
import pytest

from apps.audit.actors import SYSTEM
from apps.deployments import plans
from apps.deployments.models import Deployment
from apps.environments import variables
from apps.environments.stages.model import StageFailed
from apps.flows.actions import save_version
from tests.deployments import making
from tests.stack.portal import ROOT

pytestmark = pytest.mark.django_db

PLANTED = "hunter2-planted"
WEB = {"image": "shop:1", "labels": {"flowcontrol.route": "8081:8000"}}
DB = {"image": "postgres:17", "volumes": [{"type": "volume", "source": "db", "target": "/data"}]}
WORKER = {"image": "shop:1", "command": ["work"]}
FLOW = """flow orders
source orders = csv("in/orders.csv") {{ columns: {{ id: int, region: text }} }}
step wanted = orders | {rest}
sink wanted -> csv("out/orders.csv")
"""


@pytest.fixture(autouse=True)
def keys(settings, tmp_path):
    settings.SECRETS_KEYS_PATH = tmp_path / "secrets_keys"
    settings.SECRETS_KEYS = ""


@pytest.fixture
def shop():
    return making.environment()


def serve(environment, release):
    """The release serves there, deployed by the plan of that moment."""
    plan = plans.make(release, environment)
    return making.deployment(environment, release, plan=plan, plan_digest=plan["digest"])


def planned(environment, **services):
    return plans.make(making.release(services), environment)


def of(plan):
    return {each["name"]: (each["change"], each["how"]) for each in plan["services"]}


# --- services ------------------------------------------------------------------------------------------


def test_the_first_release_brings_everything(shop):
    plan = planned(shop, web=WEB, db=DB, worker=WORKER)
    assert plan["over"] is None
    assert of(plan) == {"db": ("added", "in place"), "web": ("added", "beside"), "worker": ("added", "restarted")}


def test_each_service_says_whether_and_how_it_is_changed(shop):
    serve(shop, making.release({"web": WEB, "db": DB, "worker": WORKER, "old": WORKER, "same": WORKER}))
    changed = {
        "web": {**WEB, "image": "shop:2"},
        "db": {**DB, "image": "postgres:18"},
        "worker": {**WORKER, "user": "1"},
    }
    plan = planned(shop, **changed, same=WORKER, new=WORKER)
    assert plan["over"] == "r1"
    assert of(plan) == {
        "db": ("changed", "in place"),
        "new": ("added", "restarted"),
        "old": ("removed", ""),
        "same": ("same", ""),
        "web": ("changed", "beside"),
        "worker": ("changed", "restarted"),
    }


def test_it_says_what_differs_and_from_which_image_to_which(shop):
    serve(shop, making.release({"web": WEB}))
    (web,) = planned(shop, web={**WEB, "image": "shop:2", "user": "1"})["services"]
    assert web["because"] == ["image", "user"]
    assert web["from"].split()[0] == "shop:1"
    assert web["to"].split()[0] == "shop:2"
    assert web["from"].split()[1] != web["to"].split()[1], "the content differs, not the name alone"


def test_a_service_whose_data_stands_where_it_is_changed_is_named_beforehand(shop):
    serve(shop, making.release({"web": WEB, "db": DB}))
    undo = planned(shop, web=WEB, db={**DB, "image": "postgres:18"})["undo"]
    assert (undo["code"], undo["state"]) == (True, "stays")
    assert "db is changed where the data is." in undo["words"]
    assert "db" not in planned(shop, web={**WEB, "image": "shop:2"}, db=DB)["undo"]["words"].split()


# --- configuration -------------------------------------------------------------------------------------


def reading(*names):
    return {"environment": {name: f"${{{name}}}" for name in names}}


def test_variables_that_come_go_and_have_no_value_are_named(shop):
    serve(shop, making.release({"web": reading("OLD", "KEPT")}))
    variables.set_variable(by=SYSTEM, environment=shop, name="KEPT", value="here")
    found = planned(shop, web=reading("KEPT", "NEW"))["configuration"]
    assert (found["added"], found["removed"], found["missing"]) == (["NEW"], ["OLD"], ["NEW"])


@pytest.mark.parametrize(
    ("written", "missing"),
    [
        ("${GREETING}", ["GREETING"]),
        ("$GREETING", ["GREETING"]),
        ("${GREETING:?say what}", ["GREETING"]),
        ("${GREETING?}", ["GREETING"]),
        ("${GREETING:-hello}", []),
        ("${GREETING-}", []),
        ("$$GREETING", []),
        ("$${GREETING}", []),
    ],
)
def test_what_has_a_default_or_is_meant_for_the_container_is_not_missing(shop, written, missing):
    assert planned(shop, web={"environment": {"WORD": written}})["configuration"]["missing"] == missing


def test_a_changed_value_changes_the_services_that_read_it_and_no_other(shop):
    variables.set_secret(by=SYSTEM, environment=shop, name="DB_PASSWORD", value=PLANTED)
    variables.set_variable(by=SYSTEM, environment=shop, name="GREETING", value="hello")
    variables.set_variable(by=SYSTEM, environment=shop, name="ALIAS", value="secret:DB_PASSWORD")
    services = {"db": reading("DB_PASSWORD"), "app": reading("ALIAS"), "web": reading("GREETING")}
    release = making.release(services)
    serve(shop, release)
    assert {change for change, _ in of(plans.make(release, shop)).values()} == {"same"}
    variables.set_secret(by=SYSTEM, environment=shop, name="DB_PASSWORD", value=f"{PLANTED}-anew")
    plan = plans.make(release, shop)
    assert plan["configuration"]["changed"] == ["ALIAS", "DB_PASSWORD"]
    assert {each["name"]: each["because"] for each in plan["services"]} == {
        "app": ["$ALIAS"],
        "db": ["$DB_PASSWORD"],
        "web": [],
    }


def test_what_is_handed_on_by_name_alone_or_as_a_secret_file_is_read_as_well(shop):
    for name in ("TOKEN", "DB_PASSWORD"):
        variables.set_secret(by=SYSTEM, environment=shop, name=name, value=PLANTED)
    services = {"web": {"environment": {"TOKEN": None, "WORD": "x"}}, "db": {"secrets": [{"source": "pw"}]}, "bus": {}}
    release = making.release(services, secrets={"pw": {"environment": "DB_PASSWORD"}})
    assert release.manifest["configuration"] == ["DB_PASSWORD", "TOKEN"]
    serve(shop, release)
    for name in ("TOKEN", "DB_PASSWORD"):
        variables.set_secret(by=SYSTEM, environment=shop, name=name, value=f"{PLANTED}-anew")
    plan = plans.make(release, shop)
    assert {each["name"]: each["because"] for each in plan["services"]} == {
        "bus": [],
        "db": ["$DB_PASSWORD"],
        "web": ["$TOKEN"],
    }


def test_no_value_stands_in_a_plan_nor_anything_to_compare_it_by(shop):
    other = making.environment("other")
    found = []
    for environment in (shop, other):
        variables.set_secret(by=SYSTEM, environment=environment, name="DB_PASSWORD", value=PLANTED)
        variables.set_variable(by=SYSTEM, environment=environment, name="GREETING", value="hello-planted")
        found.append(planned(environment, web=reading("DB_PASSWORD", "GREETING")))
    text = json.dumps(found)
    assert PLANTED not in text
    assert "hello-planted" not in text
    one, two = (each["configuration"]["known"] for each in found)
    assert one.keys() == two.keys() == {"DB_PASSWORD", "GREETING"}
    assert one["GREETING"] != two["GREETING"], "who sees two environments does not learn that they have the same"


# --- flows ---------------------------------------------------------------------------------------------


def version(rest, base=None):
    return save_version(by=SYSTEM, text=FLOW.format(rest=rest), base_sha256=base.sha256 if base else None)


def test_a_column_that_the_new_version_no_longer_writes_is_named(shop):
    first = version("where id > 0")
    second = version("select id", base=first)
    serve(shop, making.release({"web": WEB}, flows=[first]))
    assert plans.make(making.release({"web": WEB}, flows=[second]), shop)["flows"] == [
        {"name": "orders", "change": "changed", "from": 1, "to": 2, "lost": ["out/orders.csv: region"]}
    ]


def test_flows_that_come_and_go_and_stay(shop):
    first = version("where id > 0")
    with_flow, without = making.release({"web": WEB}, flows=[first]), making.release({"web": WEB})
    (added,) = plans.make(with_flow, shop)["flows"]
    assert (added["change"], added["from"], added["to"], added["lost"]) == ("added", None, 1, [])
    serve(shop, with_flow)
    assert plans.make(with_flow, shop)["flows"] == []
    (removed,) = plans.make(without, shop)["flows"]
    assert (removed["change"], removed["lost"]) == ("removed", ["out/orders.csv: id", "out/orders.csv: region"])


# --- the same plan, and a stale one ----------------------------------------------------------------------


def test_the_same_is_the_same_plan_and_what_no_service_reads_is_no_part_of_it(shop):
    release = making.release({"web": reading("GREETING")})
    before = plans.make(release, shop)
    variables.set_variable(by=SYSTEM, environment=shop, name="ELSEWHERE", value="hello")
    assert plans.make(release, shop) == before
    variables.set_variable(by=SYSTEM, environment=shop, name="GREETING", value="hello")
    assert plans.make(release, shop)["digest"] != before["digest"]


def agreed(environment, release, **fields):
    """A deployment that begins, with the plan of this moment."""
    plan = plans.make(release, environment)
    job = making.deployment(environment, release, "queued", plan=plan, plan_digest=plan["digest"], **fields)
    return SimpleNamespace(deployment=job)


def test_a_plan_that_is_still_so_passes(shop):
    plans.check(agreed(shop, making.release({"web": WEB})))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda shop: variables.set_variable(by=SYSTEM, environment=shop, name="GREETING", value="x"), "configuration"),
        (lambda shop: serve(shop, making.release({"web": WORKER})), "over, services"),
    ],
)
def test_one_that_is_no_longer_so_is_refused_with_what_differs(shop, change, part):
    stand = agreed(shop, making.release({"web": {**WEB, **reading("GREETING")}}))
    job = stand.deployment
    Deployment.objects.filter(pk=job.pk).update(state="cancelled", finished_at=job.queued_at)
    change(shop)
    with pytest.raises(StageFailed, match=f"The plan is stale: {part}"):
        plans.check(stand)


def test_a_gate_that_has_shut_since_is_asked_once_more_but_not_for_a_rollback():
    staging = making.environment("staging")
    production = making.environment("production", after=staging)
    release = making.release({"web": WEB})
    stand = agreed(production, release)
    with pytest.raises(StageFailed, match=r"The gate is shut: r1 does not serve in staging; none does\.") as refused:
        plans.check(stand)
    assert "manage.py deployment start staging --release r1" in refused.value.hint
    stand.deployment.kind = Deployment.Kind.ROLLBACK
    plans.check(stand)


# --- what runs once more ---------------------------------------------------------------------------------


def test_services_that_end_by_themselves_and_flows_of_another_version_run_once_more(shop):
    first = version("where id > 0")
    awaits = {"depends_on": {"migrate": {"condition": "service_completed_successfully", "required": True}}}
    serve(shop, making.release({"web": {**WEB, **awaits}, "migrate": WORKER}, flows=[first]))
    same_code = making.release({"web": {**WEB, **awaits, "user": "1"}, "migrate": WORKER}, flows=[first])
    assert plans.make(same_code, shop)["again"] == {"services": [], "flows": []}
    second = version("where id > 1", base=first)
    new_code = making.release({"web": {**WEB, **awaits}, "migrate": {**WORKER, "image": "shop:2"}}, flows=[second])
    assert plans.make(new_code, shop)["again"] == {"services": ["migrate"], "flows": ["orders"]}


def test_a_plan_is_as_its_schema_says(shop):
    schema = json.loads((ROOT / "docs/reference/plan.schema.json").read_text())
    first = version("where id > 0")
    second = version("select id", base=first)
    variables.set_secret(by=SYSTEM, environment=shop, name="KEPT", value=PLANTED)
    serve(shop, making.release({"web": reading("KEPT"), "db": DB}, flows=[first]))
    plan = plans.make(making.release({"web": reading("KEPT", "NEW"), "worker": WORKER}, flows=[second]), shop)
    jsonschema.validate(plan, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**plan, "more": 1}, schema)
