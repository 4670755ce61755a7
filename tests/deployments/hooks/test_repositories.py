"""Which repositories are taken, and git's commands by equality."""

from pathlib import Path

import pytest

from apps.deployments.hooks import repositories
from apps.deployments.hooks.repositories import SourceInvalid

GOOD = [
    "https://github.com/acme/shop.git",
    "https://git.example.org:8443/a/b",
    "ssh://git@github.com/acme/shop.git",
    "git@github.com:acme/shop.git",
    "file:///srv/git/shop.git",
    "/srv/git/shop.git",
]
BAD = [
    "",
    "--upload-pack=touch /tmp/x",
    "-oProxyCommand=touch",
    "ext::sh -c touch% /tmp/x",
    "https://user:password@github.com/acme/shop.git",
    "http://github.com/acme/shop.git",
    "git://github.com/acme/shop.git",
    "ssh://-oProxyCommand=x/shop",
    "ssh://git@-oProxyCommand=x/shop",
    "git@-host:shop",
    "git@host:-shop",
    "https://github.com/acme/shop.git\n--help",
    "https://github.com/acme/a b",
    "https://github.com/acme/$(id)",
    "https://github.com/acme/`id`",
    "shop.git",
    "file://host/share",
    "/srv/../etc",
    "https://" + "a" * 600 + ".org/x",
]


@pytest.mark.parametrize("url", GOOD)
def test_it_takes(url):
    assert repositories.check_repository(url) == url


@pytest.mark.parametrize("url", BAD)
def test_it_refuses(url):
    with pytest.raises(SourceInvalid):
        repositories.check_repository(url)


@pytest.mark.parametrize("name", ["main", "release/2.0", "feature_x", "v1+2"])
def test_a_branch(name):
    assert repositories.check_branch(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "-x", "--upload-pack=x", "a..b", "a b", "a:b", "a~1", "a^", "a.lock", "a/", "a//b", "@{-1}", "a\nb", "/a"],
)
def test_no_branch(name):
    with pytest.raises(SourceInvalid):
        repositories.check_branch(name)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "-f", "a\0b", "a\nb"])
def test_no_compose_path(path):
    with pytest.raises(SourceInvalid):
        repositories.check_compose_path(path)


def test_the_commands_end_their_options_before_what_somebody_typed():
    store, tree = Path("/d/store"), Path("/d/tree")
    safe = repositories._SAFE
    assert repositories.ask_branch("U", "b") == ("git", *safe, "ls-remote", "--quiet", "--", "U", "refs/heads/b")
    assert repositories.fetch(store, "U", "b") == (
        *("git", *safe, "--git-dir=/d/store", "fetch", "--quiet", "--no-tags", "--depth=1", "--no-recurse-submodules"),
        *("--no-write-fetch-head", "--", "U", "+refs/heads/b:refs/flowcontrol/fetched"),
    )
    assert repositories.write_tree(store, tree) == (
        *("git", *safe, "--git-dir=/d/store", "--work-tree=/d/tree"),
        *("checkout-index", "--all", "--force", "--quiet"),
    )
    assert "core.hooksPath=/dev/null" in safe


def test_a_token_is_for_its_server_alone_and_in_no_argument():
    given = repositories.environment("https://github.com/acme/shop.git", "a-token")
    assert given["GIT_CONFIG_KEY_0"] == "http.https://github.com/.extraHeader"
    assert given["GIT_CONFIG_VALUE_0"] == "Authorization: Basic eC1hY2Nlc3MtdG9rZW46YS10b2tlbg=="
    assert (given["GIT_TERMINAL_PROMPT"], given["GIT_ALLOW_PROTOCOL"]) == ("0", "https:ssh:file")
    assert "GIT_CONFIG_KEY_0" not in repositories.environment("ssh://git@github.com/acme/shop.git", "a-token")


def test_a_key_is_a_file_that_ssh_is_told_of():
    given = repositories.environment("git@host:a", key=Path("/d/key"), hosts=Path("/d/hosts"))
    assert given["GIT_SSH_COMMAND"] == (
        "ssh -oBatchMode=yes -oConnectTimeout=20 -oStrictHostKeyChecking=accept-new"
        " -oUserKnownHostsFile=/d/hosts -oIdentityFile=/d/key -oIdentitiesOnly=yes"
    )


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("fatal: unable to access 'https://h/x/': Could not resolve host: h", "its host is not found"),
        ("fatal: could not read Username for 'https://h': terminal prompts disabled", "it does not let us in"),
        ("git@h: Permission denied (publickey).", "it does not let us in"),
        ("remote: Repository not found.", "it is not there"),
        ("fatal: detected dubious ownership in repository at '/x'", "it belongs to another user"),
        ("Host key verification failed.", "another key than before"),
        ("ssh: connect to host h port 22: Connection refused", "does not answer"),
        ("fatal: transport 'ext' not allowed", "may not use that protocol"),
    ],
)
def test_what_git_says_is_explained(said, meant):
    message, hint = repositories.explain("U", ["warning: x", said])
    assert message.startswith("U could not be read: ")
    assert meant in message
    assert hint


def test_what_is_not_known_is_left_as_git_said_it():
    assert repositories.explain("U", ["fatal: something new"]) == ("", "")
