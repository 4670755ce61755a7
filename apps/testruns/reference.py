"""The catalogue of built-in cases as a page, `docs/reference/layers.md`, made from the registry."""

from __future__ import annotations

from apps.testruns.cases.checks import registry
from apps.testruns.cases.model import LAYER_NAMES, LAYERS, Case

HEAD = """# The layers and their cases

<!-- made by: manage.py testrun catalogue --write -->

An environment is tested in layers, from the lowest up: `manage.py testrun start dev`, `make verify-dev`, `make
verify-staging` (in the controller of the running stack, which has the Docker socket), or the page *Tests*. A layer that fails stops those above it, unless the run is told to keep going; one in which no case passed has
proven nothing, and fails. L0 to L2 are the shell framework's; before L3 the session is handed over to the application
framework ([the bridge](bridge.md)). A session that a shell framework has offered is taken over, with its results.

A worker does the run under a lease. Killed, another takes it up: layers that have ended are not run again, and in the
one that was running only cases that were not recorded yet. A case that failed and passed when it was tried again is
*flaky*; one in *quarantine* is run and shown, and its failure does not count until the day that was set.

Cases that look at the portal as a person does are given a temporary account, with the least role that suffices. It is
removed when the case is over, and shut out by itself when the case was killed; both is in the audit. Cases of staging
that ask over the network do so from a container of their own beside the proxy. The budgets of staging's L3 are the
variables `LOAD_…` and `PAGE_MS` in `.env.example`.

An environment adds cases of its own in `data/checks/<environment>/<layer>/`: [how to write a case](../how-to/write-a-case.md).
"""


def render_page() -> str:
    parts = [HEAD]
    for layer in LAYERS:
        names = ", ".join(f"{kind}: {names[layer]}" for kind, names in LAYER_NAMES.items())
        cases = registry.cases(layer=layer)
        rows = [_row(case) for case in cases] or ["| none yet | | |"]
        parts.append(
            "\n".join([f"## {layer} ({names})\n", "| case | where | seconds |", "|---|---|---|", *rows]) + "\n"
        )
    return "\n".join(parts)


def _row(case: Case) -> str:
    where = ", ".join(case.environments) or "everywhere"
    return f"| {case.title} | {where} | {case.timeout_seconds:g} |"
