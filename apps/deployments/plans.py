"""The plan: what deploying a release would change, told before anything is. It is made of rows alone, without the engine.

The same release over the same release with the same variables is the same plan, with the same digest; where that differs
from the plan that somebody agreed to, the deployment ends before its first effect.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.crypto import salted_hmac

from apps.common.files import sha256
from apps.deployments import describing, gate, queries
from apps.deployments.models import Deployment, Release
from apps.deployments.releases import canonical
from apps.deployments.stages.moving import ending, has_state
from apps.deployments.stages.stand import DeploymentStand
from apps.environments import variables
from apps.environments.containers import routing
from apps.environments.models import Environment
from apps.environments.stages import stack
from apps.environments.stages.model import StageFailed
from apps.flows.checked import FlowInvalid, check_text
from apps.flows.models import FlowVersion

VERSION = 1
SAME, CHANGED, ADDED, REMOVED = "same", "changed", "added", "removed"
PARTS = ("over", "services", "configuration", "flows", "again", "undo")
BESIDE, IN_PLACE, RESTARTED = "beside", "in place", "restarted"
_NEEDED = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::?\?[^}]*)?\}|\$([A-Za-z_][A-Za-z0-9_]*)")


def make(release: Release, environment: Environment) -> dict[str, Any]:
    """{"version", "release", "environment", "over", "services", "configuration", "flows", "again", "undo", "digest"}; the
    format is in docs/reference/release.md. Values of variables stand in it as keyed fingerprints, never as they are."""
    newest = queries.newest_good(environment)
    old = newest.release if newest else None
    reads = set(release.manifest["configuration"]) | set(old.manifest["configuration"] if old else ())
    known = {name: each for name, each in fingerprints(environment).items() if name in reads}
    before = newest.plan.get("configuration", {}).get("known", {}) if newest else {}
    moved = {name for name in {*known, *before} if known.get(name) != before.get(name)} if newest else set()
    changes, changed_flows = services(old, release, moved), flows(old, release)
    plan = {
        "version": VERSION,
        "release": release.name,
        "environment": environment.slug,
        "over": old.name if old else None,
        "services": changes,
        "configuration": configuration(old, release, known, moved),
        "flows": changed_flows,
        "again": again(release, changes, changed_flows),
        "undo": undo(changes),
    }
    return {**plan, "digest": sha256(canonical(plan))}


def check(stand: DeploymentStand) -> None:
    """Make the plan once more, before the first effect. Raises StageFailed where it is another one, or the gate is shut."""
    job = stand.deployment
    now = make(job.release, job.environment)
    if now["digest"] != job.plan_digest:
        parts = [part for part in PARTS if now[part] != job.plan.get(part)]
        raise StageFailed(
            f"The plan is stale: {', '.join(parts)} differ from what was agreed to.",
            hint="Look at it again, and deploy anew.",
        )
    if job.kind == Deployment.Kind.DEPLOY:
        shut = [each for each in gate.evidence(job.release, job.environment) if not each.ok]
        if shut:
            raise StageFailed(f"The gate is shut: {shut[0].words}", hint=shut[0].hint)


# --- services ------------------------------------------------------------------------------------------


def services(old: Release | None, new: Release, moved: Iterable[str]) -> list[dict[str, Any]]:
    """[{"name", "change", "how", "from", "to", "because"}], by name. `how` is "" where nothing is done."""
    was, will = _described(old), _described(new)
    ids = {each["name"]: each for each in old.services} if old else {}
    new_ids = {each["name"]: each for each in new.services}
    found = []
    for name in sorted({*was, *will}):
        because = _because(was[name], will[name]) if name in was and name in will else []
        if name in was and name in will:
            because += [f"${each}" for each in sorted(set(moved) & describing.read_by(new.description, name))]
        change = ADDED if name not in was else REMOVED if name not in will else CHANGED if because else SAME
        found.append(
            {
                "name": name,
                "change": change,
                "how": _how(new, name) if change in (ADDED, CHANGED) else "",
                "from": _image(ids.get(name)),
                "to": _image(new_ids.get(name)),
                "because": because,
            }
        )
    return found


def _described(release: Release | None) -> dict[str, Any]:
    return dict(release.description["services"]) if release else {}


def _because(was: Mapping[str, Any], will: Mapping[str, Any]) -> list[str]:
    """What of a service's description differs: "image", "environment" …"""
    return sorted(key for key in {*was, *will} if was.get(key) != will.get(key))


def _how(release: Release, name: str) -> str:
    if (release.description["services"][name].get("labels") or {}).get(routing.ROUTE_LABEL):
        return BESIDE
    return IN_PLACE if has_state(release.description, name) else RESTARTED


def _image(service: Mapping[str, str] | None) -> str:
    return f"{service['image']} {(service['digest'] or service['id']).rpartition(':')[2][:12]}" if service else ""


# --- configuration -------------------------------------------------------------------------------------


def fingerprints(environment: Environment) -> dict[str, str]:
    """Variable → eight hex digits that change with its value, keyed; of secrets the one that is kept with them."""
    found = {
        name: salted_hmac(
            "deployments.variable", f"{environment.slug}\0{name}\0{value}", algorithm="sha256"
        ).hexdigest()[:8]
        for name, value in variables.plain(environment).items()
    }
    secrets = dict(variables.secrets(environment).values_list("name", "fingerprint"))
    references = variables.variables(environment).exclude(reference="").values_list("name", "reference")
    return found | secrets | {name: secrets.get(reference, "") for name, reference in references}


def configuration(old: Release | None, new: Release, known: Mapping[str, str], moved: Iterable[str]) -> dict[str, Any]:
    """{"added", "removed", "changed", "missing", "known"}: names of variables that the description reads; `missing` has
    no value here and no default; `known` are the fingerprints of those that have a value here."""
    reads, read = set(new.manifest["configuration"]), set(old.manifest["configuration"]) if old else set()
    needed = {one or other for one, other in _NEEDED.findall(canonical(new.description).replace("$$", ""))}
    return {
        "added": sorted(reads - read),
        "removed": sorted(read - reads),
        "changed": sorted(set(moved) & reads),
        "missing": sorted(needed - set(known) - _given()),
        "known": dict(sorted(known.items())),
    }


def _given() -> set[str]:
    """What is given from elsewhere: by the settings file of our own stack, and by us."""
    return stack.known_variables() | set(stack.PORTS)


# --- flows ---------------------------------------------------------------------------------------------


def flows(old: Release | None, new: Release) -> list[dict[str, Any]]:
    """[{"name", "change", "from", "to", "lost"}]: the flows whose version differs; `lost` are the columns that the version
    of before wrote and the new one does not: ["orders.csv: region"]."""
    was = {each["name"]: each for each in old.manifest["flows"]} if old else {}
    will = {each["name"]: each for each in new.manifest["flows"]}
    found = []
    for name in sorted({*was, *will}):
        before, after = was.get(name), will.get(name)
        if before and after and before["sha256"] == after["sha256"]:
            continue
        found.append(
            {
                "name": name,
                "change": ADDED if before is None else REMOVED if after is None else CHANGED,
                "from": before["version"] if before else None,
                "to": after["version"] if after else None,
                "lost": _lost(before, after) if before else [],
            }
        )
    return found


def _lost(before: Mapping[str, Any], after: Mapping[str, Any] | None) -> list[str]:
    wrote, writes = _written(before["sha256"]), _written(after["sha256"]) if after else {}
    return sorted(
        f"{sink}: {column}" for sink, columns in wrote.items() for column in columns - writes.get(sink, set())
    )


def _written(sha: str) -> dict[str, set[str]]:
    """Sink → the names of the columns that a version writes there; nothing for one that cannot be read any more."""
    row = FlowVersion.objects.filter(sha256=sha).first()
    if row is None:
        return {}
    try:
        plan = check_text(row.text).plan
    except FlowInvalid:
        return {}
    return {sink.path: {column.name for column in plan.schema_of(sink.step)} for sink in plan.sinks}


# --- what runs once more ---------------------------------------------------------------------------------


def again(
    new: Release, changes: Iterable[Mapping[str, Any]], changed_flows: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """{"services", "flows"}: names of the services that do their work and end (migrations, mostly) and do it once more, and
    of the flows whose next run is of another version. What they have written before stays as it is until then."""
    ends = ending(new.description)
    return {
        "services": [each["name"] for each in changes if each["change"] in (ADDED, CHANGED) and each["name"] in ends],
        "flows": [each["name"] for each in changed_flows if each["change"] in (ADDED, CHANGED)],
    }


# --- going back ----------------------------------------------------------------------------------------


def undo(changes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """{"code", "state", "words"}: what happens when the release turns out bad."""
    in_place = [each["name"] for each in changes if each["how"] == IN_PLACE and each["change"] == CHANGED]
    words = "Code goes back by itself: traffic first, then what takes none."
    state = "What the release has written into volumes and databases by then stays written."
    if in_place:
        are = "is" if len(in_place) == 1 else "are"
        saved = "The state is saved before, and comes back by `manage.py snapshot restore` alone."
        state = f"{', '.join(in_place)} {are} changed where the data is. {saved} {state}"
    return {"code": True, "state": "stays", "words": f"{words} {state}"}
