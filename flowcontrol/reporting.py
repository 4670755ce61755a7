"""What Django tells of an error: the page of DEBUG, and reports."""

from types import FrameType
from typing import Any

from django.http import HttpRequest
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from apps.common import masking


class MaskingReporterFilter(SafeExceptionReporterFilter):
    """Django's report of an error (the page of DEBUG, too) hides what is marked as sensitive, and every known secret."""

    def is_active(self, request: HttpRequest | None) -> bool:
        return True

    def get_traceback_frame_variables(self, request: Any, tb_frame: FrameType) -> Any:
        masker = masking.latest()
        return [(name, masker.data(value)) for name, value in super().get_traceback_frame_variables(request, tb_frame)]


class MaskingReporter(ExceptionReporter):
    """The report as a whole, since the message of an error and the source beside it may say a secret, too."""

    def get_traceback_html(self) -> Any:
        return masking.latest().text(super().get_traceback_html())

    def get_traceback_text(self) -> Any:
        return masking.latest().text(super().get_traceback_text())
