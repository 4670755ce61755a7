"""L0 basic: the services run, answer, and write logs that do not fill the disk."""

import json
import logging.handlers
import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.portal.cases.staging import throwaway
from apps.portal.cases.staging.stack import PUBLISHED, SERVICES, STAGING, Stack, stack
from apps.testruns.cases.checks import Skip, check
from apps.testruns.cases.model import Place

ROTATED = ("json-file", "local")  # drivers of the engine that turn files over
ASK_SECONDS = 40.0


@check("L0", title="each service of the stack runs and is healthy", environments=STAGING, timeout=30)
def services_run(place: Place) -> str:
    with stack(place) as there:
        wrong = services_that_do_not_work(there)
        assert not wrong, "; ".join(wrong)
        return ", ".join(sorted({each.service for each in there.running}))


def services_that_do_not_work(there: Stack) -> list[str]:
    """A sentence for each that is missing or unwell. A container that has ended is no fault where another one works."""
    wrong = [f"{name} was not started" for name in SERVICES if not there.of(name)]
    for service in sorted({each.service for each in there.containers}):
        all_of_it = there.of(service)
        unwell = [each for each in all_of_it if not each.works and each.state != "exited"]
        if not any(each.works for each in all_of_it):
            unwell = list(all_of_it)
        wrong += [
            f"{each.name} is {each.state} {each.health}".strip()
            + (f", exit status {each.exit_code}" if each.exit_code is not None else "")
            + f" (docker logs {each.name})"
            for each in unwell
        ]
    return wrong


@check("L0", title="the portal and the webhook service answer through the proxy", environments=STAGING, timeout=60)
def proxy_answers(place: Place) -> None:
    with stack(place) as there:
        wrong = wrong_answers(there)
        assert not wrong, "; ".join(wrong)


def wrong_answers(there: Stack) -> list[str]:
    """What the proxy's ports say to somebody on its network, and whether the host has them too."""
    addresses = ["http://proxy:8080/admin/login/", "http://proxy:9001/"]
    login, webhook = throwaway.ask(there, "get", *addresses, seconds=ASK_SECONDS)
    wrong = [
        f"{each['address']} answers {each['status'] or 'nothing'} {each['error']}".strip()
        for each in (login, webhook)
        if each["status"] != 200
    ]
    if login["status"] == 200 and 'name="password"' not in login["body"]:
        wrong.append("port 8080 shows no login page")
    if webhook["status"] == 200 and not _is_status(webhook["body"]):
        wrong.append("port 9001 does not tell the webhook service's status")
    there_on_host = {port.container for port in there.one("proxy").published}
    return wrong + [
        f"the proxy's port {each} is not published on the host" for each in PUBLISHED if each not in there_on_host
    ]


def _is_status(text: str) -> bool:
    try:
        document = json.loads(text)
    except ValueError:
        return False
    return isinstance(document, dict) and "version" in document


@check("L0", title="each container writes its log, and the log is turned over", environments=STAGING, timeout=30)
def logs_turn_over(place: Place) -> None:
    with stack(place) as there:
        wrong = containers_without_rotation(there)
        assert not wrong, "; ".join(wrong)
        assert writes_anything(there), "no container of the stack has written a line"


def containers_without_rotation(there: Stack) -> list[str]:
    return [
        f"{each.name} keeps its log for ever ({each.log_driver}): give it max-size and max-file"
        for each in there.running
        if each.log_driver not in ROTATED or not {"max-size", "max-file"} <= each.log_options.keys()
    ]


def writes_anything(there: Stack) -> bool:
    return any(there.client.api.logs(each.container, tail=1, stream=False) for each in there.running)


@check("L0", title="the files of the portal's log are turned over", environments=STAGING, timeout=30)
def log_files_turn_over() -> str:
    handlers = [each for each in settings.LOGGING["handlers"].values() if "maxBytes" in each]
    files = sorted(settings.LOGS.glob("*.jsonl*"))
    if not handlers and not files:
        raise Skip("the portal writes its log to standard output here, where the engine keeps it")
    for handler in handlers:
        turns_over(handler)
    most = max((each["maxBytes"] for each in handlers), default=0)
    large = [f"{each.name} has {each.stat().st_size} bytes" for each in files if most and each.stat().st_size > most]
    assert not large, f"{'; '.join(large)}: more than {most}"
    return f"{len(files)} files in {settings.LOGS}"


def turns_over(handler: dict[str, Any]) -> None:
    """A handler with those settings, but for a smaller size: it begins a new file, and keeps as many as it should."""
    kept = handler["backupCount"]
    assert kept > 0, "with backupCount 0 a log is never turned over"
    with tempfile.TemporaryDirectory(prefix="case-") as folder:
        made = logging.handlers.RotatingFileHandler(
            Path(folder) / "log", maxBytes=1000, backupCount=kept, encoding="utf-8"
        )
        try:
            for number in range(10 * (kept + 2)):
                made.emit(logging.LogRecord("case", logging.INFO, "", 0, f"{number:0200}", None, None))
        finally:
            made.close()
        found = len(list(Path(folder).iterdir()))
    assert found == kept + 1, f"{found} files were kept, not {kept + 1}"
