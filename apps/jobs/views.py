"""The live events of a job."""

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBadRequest
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_GET

from apps.accounts import policy
from apps.jobs import live, registry


@require_GET
@policy.guard("jobs.watch")
def events(request: HttpRequest, kind: str, pk: int) -> HttpResponseBase:
    """Server-Sent Events of one job from the number after `Last-Event-ID` (or ?lastEventId=), from the first without.

    403 without the right to view that kind of job in its environment. 204 when the job is over and all of it was seen:
    a browser then stops coming back.
    """
    try:
        job_kind = registry.kind(kind)
    except registry.UnknownKindError:
        raise Http404("There is no such kind of job.") from None
    job = job_kind.model.objects.filter(pk=pk).first()
    if job is None:
        raise Http404("There is no such job.")
    policy.check(request.user, job_kind.view_action, job_kind.environment(job))
    last = _last_seen(request, job_kind.channel(pk))
    if last is None:
        return HttpResponseBadRequest("Last-Event-ID is not a number that this stream gave out. Load the page again.")
    if job.is_final and last >= job.event_seq:
        return HttpResponse(status=204)
    return live.stream(request, job_kind.channel(pk), last)


def _last_seen(request: HttpRequest, channel: str) -> int | None:
    """The number of the last event the reader has, 0 for none, None for nonsense. Both `7` and `job-run-12:7` will do.

    The header, which a reconnecting browser sends by itself, wins over the parameter that the page was made with.
    """
    text = request.headers.get("Last-Event-ID") or request.GET.get("lastEventId") or "0"
    number = text.removeprefix(f"{channel}:")
    return int(number) if number.isascii() and number.isdigit() and len(number) < 19 else None
