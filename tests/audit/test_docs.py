"""docs/explanation/audit.md says what `audit verify` says."""

import re
from pathlib import Path

from django.conf import settings

PAGE = Path(settings.BASE_DIR) / "docs/explanation/audit.md"
SAID = Path(settings.BASE_DIR) / "apps/audit/verify.py"


def test_every_sentence_of_the_table_is_one_that_is_said():
    sentences = re.findall(r"^\| ([EWT][^|]*?) \|", PAGE.read_text(), re.MULTILINE)
    assert len(sentences) == 9
    said = re.sub(r"\{[^}]*\}", "7", SAID.read_text())
    for sentence in sentences:
        for words in sentence.split(", "):
            assert words in said or words.replace("Event 7 was ", "7 ") in said, sentence
