"""The root of every error that a person may see."""

from apps.common import masking


class FlowControlError(Exception):
    """What happened (`message`), what to do next (`hint`), and a stable `code`.

    The docstring of a subclass's first line is its default message. Secrets that this process knows are masked in both:
    what a tool complained of may repeat what it was given.
    """

    code = "error"

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        mask = masking.latest().text
        self.message = mask(message or (type(self).__doc__ or "").strip().partition("\n")[0])
        self.hint = mask(hint)
        super().__init__(f"{self.message} {self.hint}".strip())
