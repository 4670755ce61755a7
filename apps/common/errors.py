"""The root of every error that a person may see."""


class FlowControlError(Exception):
    """What happened (`message`), what to do next (`hint`), and a stable `code`.

    The docstring of a subclass's first line is its default message.
    """

    code = "error"

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        self.message = message or (type(self).__doc__ or "").strip().partition("\n")[0]
        self.hint = hint
        super().__init__(f"{self.message} {hint}".strip())
