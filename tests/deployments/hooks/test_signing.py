"""Signatures, by the vectors of those who defined them."""

import pytest

from apps.deployments.hooks import signing
from apps.deployments.hooks.signing import Trust

# https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries, "Testing the webhook payload validation"
GITHUB = ("It's a Secret to Everybody", b"Hello, World!")
GITHUB_SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
# https://github.com/standard-webhooks/standard-webhooks, the vector that its libraries are tested with
SECRET, ID, TIMESTAMP = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
BODY = b'{"test": 2432232314}'
STANDARD_SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def headers(secret=SECRET, body=BODY, timestamp=TIMESTAMP, message_id=ID):
    return signing.standard_headers([secret], message_id, timestamp, body)


def test_github_signs_as_its_documents_say():
    assert signing.github(*GITHUB) == GITHUB_SIGNATURE
    given = {"x-hub-signature-256": GITHUB_SIGNATURE}
    assert signing.check("github", [GITHUB[0]], given, GITHUB[1], 0) is Trust.RIGHT


def test_standard_webhooks_signs_as_its_libraries_do():
    assert signing.standard(SECRET, ID, TIMESTAMP, BODY) == STANDARD_SIGNATURE
    assert signing.check("generic", [SECRET], headers(), BODY, TIMESTAMP) is Trust.RIGHT


@pytest.mark.parametrize("provider", ["github", "gitlab", "generic"])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"x-hub-signature-256": ""},
        {"x-hub-signature-256": GITHUB_SIGNATURE[:-1]},
        {"x-hub-signature-256": "sha256=" + "é" * 64},
        {"x-hub-signature-256": GITHUB_SIGNATURE.replace("sha256", "sha1")},
        {"x-gitlab-token": ""},
        {"x-gitlab-token": "nearly"},
        {"webhook-id": ID, "webhook-timestamp": "soon", "webhook-signature": STANDARD_SIGNATURE},
        {"webhook-id": ID, "webhook-timestamp": "9" * 40, "webhook-signature": STANDARD_SIGNATURE},
        {"webhook-id": ID, "webhook-timestamp": "²", "webhook-signature": STANDARD_SIGNATURE},
        {"webhook-id": "", "webhook-timestamp": str(TIMESTAMP), "webhook-signature": STANDARD_SIGNATURE},
        {"webhook-id": ID, "webhook-timestamp": str(TIMESTAMP), "webhook-signature": "v1a," + STANDARD_SIGNATURE[3:]},
    ],
)
def test_what_is_not_signed_is_not_believed(provider, given):
    assert signing.check(provider, [GITHUB[0], "other", ""], given, b"Hello, World?", TIMESTAMP) is Trust.WRONG


def test_no_secret_means_nothing_is_believed():
    empty = {"x-gitlab-token": "", "x-hub-signature-256": signing.github("", BODY), **headers("")}
    for provider in ("github", "gitlab", "generic"):
        assert signing.check(provider, ["", ""], empty, BODY, TIMESTAMP) is Trust.WRONG


@pytest.mark.parametrize(("seconds", "trust"), [(0, Trust.RIGHT), (300, Trust.RIGHT), (-300, Trust.RIGHT)])
def test_a_clock_may_differ_by_five_minutes(seconds, trust):
    assert signing.check("generic", [SECRET], headers(), BODY, TIMESTAMP + seconds) is trust


@pytest.mark.parametrize("seconds", [301, -301, 10**9])
def test_an_old_or_future_signature_is_stale_and_a_wrong_one_is_wrong_first(seconds):
    assert signing.check("generic", [SECRET], headers(), BODY, TIMESTAMP + seconds) is Trust.STALE
    assert signing.check("generic", [SECRET], headers(), b"{}", TIMESTAMP + seconds) is Trust.WRONG


def test_gitlab_shows_its_token_or_signs():
    assert signing.check("gitlab", ["a-token"], {"x-gitlab-token": "a-token"}, BODY, 0) is Trust.RIGHT
    assert signing.check("gitlab", [SECRET], headers(), BODY, TIMESTAMP) is Trust.RIGHT
    both = {**headers(secret="whsec_AAAA"), "x-gitlab-token": SECRET}
    assert signing.check("gitlab", [SECRET], both, BODY, TIMESTAMP) is Trust.WRONG, "who signs has signed rightly"


def test_both_keys_count_while_one_is_being_changed():
    old, new = signing.new_secret(), signing.new_secret()
    sent = signing.standard_headers([new, old], ID, TIMESTAMP, BODY)
    assert len(sent["webhook-signature"].split()) == 2
    for known in ([old], [new], ["another", old]):
        assert signing.check("generic", known, sent, BODY, TIMESTAMP) is Trust.RIGHT


def test_a_new_secret_is_as_gitlab_asks_for_it():
    assert len(signing.key_of(signing.new_secret())) == 32
    assert signing.key_of("whsec_not base64!") == b"whsec_not base64!"
