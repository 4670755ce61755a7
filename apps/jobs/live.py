"""Live events by django-eventstream: its storage is the JobEvent table, its channels ask the policy layer.

What is known to go wrong in the library, and is set right here and in `watcher`:
- it passes on what the bus brings, and its listener on the bus dies: see `watcher`;
- each stream keeps a thread and a database connection: reads share a small pool, and connections are given back;
- a stream outlives logout and lost rights: it asks before each read, and ends after STREAM_SECONDS;
- `send_event` raises when the bus is down: not used; rows are written by `events`, hints by `hints`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import django_eventstream.views
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.db import Error, close_old_connections, connections
from django.http import HttpRequest, StreamingHttpResponse
from django_eventstream.channelmanager import ChannelManagerBase
from django_eventstream.event import Event
from django_eventstream.eventrequest import EventRequest
from django_eventstream.storage import EventDoesNotExist, StorageBase
from django_eventstream.utils import add_default_headers

from apps.accounts import policy
from apps.jobs import events, registry
from apps.jobs.models import Job, JobEvent
from apps.jobs.watcher import WakingListeners, parse_channel

# A stream ends after this and the browser comes back by itself, with the number of the last event it saw.
STREAM_SECONDS = 300.0
RECONNECT_MILLISECONDS = 1000
# How long an answer of the policy layer serves the reads of a stream.
TRUST_SECONDS = 5.0
MOST_TRUSTED = 10_000

logger = logging.getLogger(__name__)


def may_watch(user: Any, kind: registry.JobKind, job: Job) -> bool:
    """Whether `user` may see the events of `job`. No: where the kind names no action."""
    return bool(kind.view_action) and policy.allowed(user, kind.view_action, kind.environment(job))


def find(channel: str) -> tuple[registry.JobKind, Job] | None:
    """The job behind a channel, if there is one."""
    parsed = parse_channel(channel)
    if not parsed:
        return None
    try:
        kind = registry.kind(parsed[0])
    except registry.UnknownKindError:
        return None
    job = kind.model.objects.filter(pk=parsed[1]).first()
    return (kind, job) if job else None


class JobEventStorage(StorageBase):
    """The library's storage over JobEvent. The id of an event in a channel is its number in the job."""

    def append_event(self, channel: str, event_type: str, data: Any) -> Event:
        """For `send_event`, which hands over JSON text. Raises LookupError for a channel of no job."""
        found = find(channel)
        if not found:
            raise LookupError(f"{channel} is the channel of no job")
        seq = events.append(found[1], event_type, json.loads(data) if isinstance(data, str) else data)
        return Event(channel, event_type, data, id=seq)

    def get_events(self, channel: str, last_id: int, limit: int = 100) -> list[Event]:
        """The events after `last_id`, in order. Raises EventDoesNotExist for a number the job has not reached."""
        kind, pk = parse_channel(channel) or ("", 0)
        rows = JobEvent.objects.filter(job_kind=kind, job_id=pk, seq__gt=last_id).order_by("seq")[:limit]
        found = [Event(channel, row.kind, message(row), id=row.seq) for row in rows]
        if not found and last_id > (current := self.get_current_id(channel)):
            raise EventDoesNotExist(f"No such event {last_id}", current)
        return found

    def get_current_id(self, channel: str) -> int:
        found = find(channel)
        return found[1].event_seq if found else 0


def message(row: JobEvent) -> str:
    """What the browser gets as an event's data: the event's own fields and `seq`, `at` (ISO 8601), as one JSON object."""
    return json.dumps({**row.data, "seq": row.seq, "at": row.at.isoformat()})


class JobChannels(ChannelManagerBase):
    """The library's channel manager: who may read which channel. All channels are kept, so none drops a burst."""

    def __init__(self) -> None:
        self._trusted: dict[tuple[Any, str], tuple[float, bool]] = {}

    def get_channels_for_request(self, request: HttpRequest, view_kwargs: dict[str, Any]) -> set[str]:
        return {f"job-{view_kwargs['kind']}-{view_kwargs['pk']}"}

    def can_read_channel(self, user: Any, channel: str) -> bool:
        """By the policy layer; its answer serves for TRUST_SECONDS."""
        key = (user.pk if user else None, channel)
        asked_at, answer = self._trusted.get(key, (0.0, False))
        if time.monotonic() - asked_at > TRUST_SECONDS or not answer:
            answer = self._ask(user, channel)
            if len(self._trusted) >= MOST_TRUSTED:
                self._trusted.clear()
            self._trusted[key] = (time.monotonic(), answer)
        return answer

    def _ask(self, user: Any, channel: str) -> bool:
        """Of the account as it is now: the stream's own copy has the rights that it had when it began."""
        found = find(channel)
        account = get_user_model()._default_manager.filter(pk=user.pk).first() if user else None
        return bool(found and account and may_watch(account, *found))

    def is_channel_reliable(self, channel: str) -> bool:
        return True


def stream(request: HttpRequest, channel: str, last: int) -> StreamingHttpResponse:
    """The live events of `channel` after number `last`, for the request's user, as Server-Sent Events.

    Only an ASGI server can serve it. It ends after STREAM_SECONDS, or when the database is away; browsers reconnect.
    """
    asked = EventRequest()
    asked.channels = {channel}
    asked.channel_last_ids = {channel: str(last)}
    asked.is_next = asked.is_recover = False
    asked.user = request.user
    listener = django_eventstream.views.Listener()
    listener.user_id = request.user.pk
    listener.channels = asked.channels
    chunks = _bounded(channel, django_eventstream.views.stream(asked, listener))
    response = StreamingHttpResponse(chunks, content_type="text/event-stream")
    add_default_headers(response, request=request)
    _give_connections_back()
    return response


async def _bounded(channel: str, chunks: AsyncGenerator[str]) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + STREAM_SECONDS
    yield f"retry: {RECONNECT_MILLISECONDS}\n\n"
    try:
        async for chunk in chunks:  # one at least every 20 s: the library keeps the stream alive
            yield chunk
            if loop.time() >= deadline:
                return
    except Error as error:
        logger.warning("The stream of %s ended, its reader comes back: %s", channel, error)
    finally:
        await chunks.aclose()


def _give_connections_back() -> None:
    """The request's thread lives as long as the stream, and needs the database no more."""
    for each in connections.all(initialized_only=True):
        if not each.in_atomic_block:
            each.close()


def _in_pool(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run a read in the event loop's few threads instead of one for each stream, with connections as in a request."""

    def read(*arguments: Any) -> Any:
        close_old_connections()
        try:
            return function(*arguments)
        finally:
            close_old_connections()

    return sync_to_async(read, thread_sensitive=False)


def install() -> None:
    """Put our parts into the library: the one place where it is patched. Doing it twice is doing it once."""
    if not isinstance(django_eventstream.views.listener_manager, WakingListeners):
        django_eventstream.views.listener_manager = WakingListeners()
        django_eventstream.views.sync_to_async = _in_pool
