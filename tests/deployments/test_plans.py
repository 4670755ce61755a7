"""The plan: what would change, told before anything does."""

import pytest

from apps.audit.actors import SYSTEM
from apps.deployments import plans, releases
from apps.environments import variables
from apps.flows.actions import save_version
from tests.deployments import making

pytestmark = pytest.mark.django_db
WEB = {"image": "sha256:" + "a" * 64, "labels": {"flowcontrol.route": "8080:8000"}, "environment": {"W": "${WORD}"}}
DB = {"image": "sha256:" + "b" * 64, "volumes": [{"type": "volume", "source": "db", "target": "/data"}]}
WORKER = {"image": "sha256:" + "c" * 64}


def release(services, flows=()):
    description = {"services": services}
    named = [{"name": name, "image": f"{name}:1", "id": each["image"], "digest": ""} for name, each in services.items()]
    reads = sorted(plans._variables(description))
    manifest = releases.manifest_of(description, named, flows, reads)
    return releases.keep(by=SYSTEM, origin=making.environment(), manifest=manifest, description=description)[0]


def changes(plan):
    return {each["name"]: (each["change"], each["how"]) for each in plan["services"]}


def test_each_service_says_whether_and_how_it_is_changed():
    shop = making.environment()
    old = release({"web": WEB, "db": DB, "worker": WORKER, "gone": WORKER})
    making.deployment(shop, old, plan=plans.make(old, shop))
    new = {**WEB, "image": "sha256:" + "d" * 64}
    made = plans.make(release({"web": new, "db": DB, "worker": {**WORKER, "user": "1"}, "more": WORKER}), shop)
    assert changes(made) == {
        "web": ("changed", "beside"),
        "db": ("same", ""),
        "worker": ("changed", "restarted"),
        "gone": ("removed", ""),
        "more": ("added", "restarted"),
    }
    web = next(each for each in made["services"] if each["name"] == "web")
    assert (web["from"], web["to"], web["because"]) == ("web:1 aaaaaaaaaaaa", "web:1 dddddddddddd", ["image"])
    assert made["over"] == "r1"


def test_what_keeps_state_is_changed_in_place_and_that_is_said():
    shop = making.environment()
    old = release({"db": DB})
    making.deployment(shop, old, plan=plans.make(old, shop))
    made = plans.make(release({"db": {**DB, "user": "1"}}), shop)
    assert changes(made) == {"db": ("changed", "in place")}
    assert "db is changed where the data is" in made["undo"]["words"]


def test_a_variable_that_has_moved_changes_the_services_that_read_it_and_its_value_is_not_told():
    shop = making.environment()
    variables.set_variable(by=SYSTEM, environment=shop, name="WORD", value="first-value")
    only = release({"web": WEB, "worker": WORKER})
    making.deployment(shop, only, plan=plans.make(only, shop))
    assert changes(plans.make(only, shop)) == {"web": ("same", ""), "worker": ("same", "")}
    variables.set_variable(by=SYSTEM, environment=shop, name="WORD", value="second-value")
    made = plans.make(only, shop)
    assert changes(made) == {"web": ("changed", "beside"), "worker": ("same", "")}
    assert made["configuration"]["changed"] == ["WORD"]
    assert "second-value" not in str(made)


def test_variables_that_have_no_value_here_are_named():
    shop = making.environment()
    made = plans.make(
        release({"web": {**WEB, "environment": {"A": "${WORD:-x}", "B": "${MISSING}", "C": "$$PATH"}}}), shop
    )
    assert made["configuration"]["missing"] == ["MISSING"]
    assert made["configuration"]["added"] == ["MISSING", "WORD"]


def test_the_same_is_the_same_plan_and_another_base_is_another():
    shop = making.environment()
    one, two = release({"web": WEB}), release({"web": WEB, "worker": WORKER})
    first = plans.make(two, shop)
    assert plans.make(two, shop)["digest"] == first["digest"]
    making.deployment(shop, one, plan=plans.make(one, shop))
    assert plans.make(two, shop)["digest"] != first["digest"]


def test_columns_that_a_flow_writes_no_more_are_named():
    shop = making.environment()
    text = (
        'flow shop {{}}\nsource one = csv("one.csv") {{ columns: {{ id: int, region: text }} }}\n'
        'step two = one | select {}\nsink two -> csv("two.csv")\n'
    )
    first = save_version(by=SYSTEM, text=text.format("id, region"))
    second = save_version(by=SYSTEM, text=text.format("id"), base_sha256=first.sha256)
    named = [{"name": "shop", "version": each.number, "sha256": each.sha256} for each in (first, second)]
    old = release({"web": WEB}, named[:1])
    making.deployment(shop, old, plan=plans.make(old, shop))
    (flow,) = plans.make(release({"web": WEB}, named[1:]), shop)["flows"]
    assert flow == {"name": "shop", "change": "changed", "from": 1, "to": 2, "lost": ["two.csv: region"]}
