"""The portal's pages as a program reads them: logged in, link by link, and what is wrong with their markup."""

import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookiejar import CookieJar, DefaultCookiePolicy

from django.urls import Resolver404, resolve

from apps.portal.cases.visitor import Visitor

SECONDS = 15.0  # the longest that one answer is waited for
LARGEST_BYTES = 8 * 1024**2

VOID = frozenset(["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"])
# Elements whose end HTML lets one leave out.
MAY_STAY_OPEN = frozenset(
    [
        "html",
        "head",
        "body",
        "li",
        "dt",
        "dd",
        "p",
        "option",
        "optgroup",
        "tr",
        "td",
        "th",
        "thead",
        "tbody",
        "tfoot",
        "colgroup",
    ]
)
# Text in which braces are meant as they stand.
VERBATIM = frozenset(["script", "style", "pre", "code", "textarea"])
RESIDUE = re.compile(r"\{\{|\{%|%\}|\{#")
# Behind a proxy that speaks TLS, cookies are for TLS alone; on the machine itself they are asked for without it.
_ALSO_WITHOUT_TLS = DefaultCookiePolicy(secure_protocols=("https", "http"))
IN_SCRIPTS_WORDS = ("x-", ":", "@")  # attributes that are a small script


class Reader:
    """A browser without a screen: keeps cookies, follows redirects, sends no script."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar(_ALSO_WITHOUT_TLS)))

    def get(self, path: str, form: dict[str, str] | None = None) -> tuple[int, str, str]:
        """Status, kind of content without its charset, and text. Raises AssertionError where nothing answers."""
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        try:
            with self._opener.open(self.address + path, data, SECONDS) as answer:
                return answer.status, answer.headers.get_content_type(), _text(answer.read(LARGEST_BYTES))
        except urllib.error.HTTPError as error:
            return error.code, error.headers.get_content_type(), _text(error.read(LARGEST_BYTES))
        except OSError as error:
            raise AssertionError(f"{path} does not answer: {error}") from error

    def log_in(self, who: Visitor) -> None:
        _, _, form = self.get("/admin/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
        assert token is not None, "the login page has no form"
        fields = {"username": who.username, "password": who.password, "csrfmiddlewaretoken": token[1], "next": "/"}
        status, _, page = self.get("/admin/login/", fields)
        assert status == 200, f"the login answers {status}"
        assert 'name="password"' not in page, (
            f"the portal at {self.address} does not let {who.username} in: has it another database than this test?"
        )


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


@dataclass
class Walk:
    """Every page that is reached by links from the front page, a few of each kind."""

    reader: Reader
    each: int = 2  # addresses of one view: two runs stand for all of them
    most: int = 200  # pages in all
    seen: dict[str, int] = field(default_factory=dict)  # view → how many of its addresses

    def pages(self) -> Iterator[tuple[str, list[str]]]:
        """(path, faults) of each."""
        waiting, queued = ["/"], {"/"}
        while waiting and sum(self.seen.values()) < self.most:
            path = waiting.pop(0)
            view = _view(path)
            if view is None:
                yield path, ["a link leads there, and nothing is there"]
                continue
            if self.seen.get(view, 0) >= self.each:
                continue
            self.seen[view] = self.seen.get(view, 0) + 1
            status, kind, text = self.reader.get(path)
            if kind != "text/html" or status != 200:
                yield path, [] if status == 200 else [f"it answers {status}"]
                continue
            page = Markup.of(text)
            yield path, page.faults
            new = [each for each in page.links if each not in queued]
            queued.update(new)
            waiting += new


def _view(path: str) -> str | None:
    try:
        return resolve(urllib.parse.unquote(path)).view_name
    except Resolver404:
        return None


class Markup(HTMLParser):
    """What is wrong with a page's markup, and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.links: list[str] = []
        self._open: list[str] = []
        self._ids: set[str] = set()
        self._doctypes = self._titles = 0

    @classmethod
    def of(cls, text: str) -> "Markup":
        page = cls()
        page.feed(text)
        page.close()
        left = [tag for tag in page._open if tag not in MAY_STAY_OPEN]
        if left:
            page.faults.append(f"<{left[-1]}> is not closed")
        if page._doctypes != 1:
            page.faults.append("it does not say that it is HTML")
        if not page._titles:
            page.faults.append("it has no title")
        return page

    def handle_decl(self, decl: str) -> None:
        self._doctypes += decl.lower() == "doctype html"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._attributes(tag, attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._attributes(tag, attrs)
        if tag not in VOID and not {"svg", "math"} & {*self._open, tag}:
            self._complain(f"<{tag}/> opens and does not close")

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            self._complain(f"</{tag}> closes what has no end")
            return
        while self._open and self._open[-1] != tag and self._open[-1] in MAY_STAY_OPEN and tag in self._open:
            self._open.pop()
        if self._open and self._open[-1] == tag:
            self._open.pop()
        else:
            self._complain(f"</{tag}> closes {f'<{self._open[-1]}>' if self._open else 'nothing'}")

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "title" and "svg" not in self._open and data.strip():
            self._titles += 1
        if not VERBATIM & set(self._open):
            self._look_for_residue(data)

    def _attributes(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self._complain(f"<{tag}> has an attribute twice")
        for name, value in attrs:
            if name == "id" and value:
                if value in self._ids:
                    self._complain(f"the id {value} is there twice")
                self._ids.add(value)
            if not name.startswith(IN_SCRIPTS_WORDS):
                self._look_for_residue(value or "")
        if tag == "a":
            self._link(dict(attrs).get("href") or "")

    def _link(self, href: str) -> None:
        parts = urllib.parse.urlsplit(href)
        if not parts.scheme and not parts.netloc and parts.path.startswith("/"):
            self.links.append(parts.path)

    def _look_for_residue(self, text: str) -> None:
        if found := RESIDUE.search(text):
            self._complain(f"a piece of a template is left: {text[found.start() : found.start() + 40]!r}")

    def _complain(self, what: str) -> None:
        self.faults.append(f"line {self.getpos()[0]}: {what}")
