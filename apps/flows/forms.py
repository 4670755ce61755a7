"""The editor's form, and the text that a new flow begins with."""

from django import forms

from apps.common.errors import FlowControlError

NEW_TEXT = """flow my_flow { description: "Say in a few words what it is for" }

# What is read: a file in the workspace. Its columns may be left out; they are then looked up.
source customers = csv("shop/customers.csv") {
  columns: { id: int, name: text, segment: text, region: text }
}

# What is done with it, one step after another.
step in_europe = customers
  | where region == "EU"
step by_segment = in_europe
  | group by segment { customers = count() }
  | sort -customers

# What must hold, or nothing is written.
expect in_europe { not_null(id) fail }

# What is written.
sink by_segment -> csv("my_flow/by_segment.csv")

# Shows, on made-up rows, that a step does what is meant.
test "customers elsewhere are left out" {
  given customers
    | id | name | segment | region |
    | 1  | Ada  | SMB     | EU     |
    | 2  | Bob  | SMB     | US     |
  then by_segment
    | segment | customers |
    | SMB     | 1         |
}
"""


class TextRefusedError(FlowControlError):
    """The text cannot be taken."""


class TextForm(forms.Form):
    """A text, the SHA-256 of the version it was made from ("" for a new flow), and a note."""

    text = forms.CharField(strip=False, widget=forms.Textarea)
    base = forms.CharField(required=False, max_length=64)
    note = forms.CharField(required=False, max_length=200)

    def clean_text(self) -> str:
        """With line ends as a file has them; browsers send CRLF."""
        text: str = self.cleaned_data["text"].replace("\r\n", "\n")
        return text if text.endswith("\n") else text + "\n"

    def given(self, name: str) -> str:
        """A field as it was sent, so that nothing typed is lost when it is refused."""
        return str(self.data.get(name, ""))

    @property
    def refusal(self) -> TextRefusedError:
        """Why it was not taken, in a sentence."""
        errors = [error for each in self.errors.values() for error in each]
        return TextRefusedError(" ".join(str(error) for error in errors), hint="Your text stands below as you sent it.")
