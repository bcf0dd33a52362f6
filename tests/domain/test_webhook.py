"""The schedule, the meaning of answers and the signatures, judged by the `standardwebhooks` package."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tongbao.domain.errors import InvalidInput
from tongbao.domain.webhook import (
    GAPS_SECONDS,
    RETRY_AFTER_SECONDS_MAX,
    TRIES_MAX,
    Decision,
    Verdict,
    WebhookError,
    WebhookResult,
    decide,
    make_secret,
    read_secret,
    signature,
    signed_headers,
)

OLD = make_secret(bytes(range(24)))
NEW = make_secret(bytes(range(100, 132)))
FAILED = WebhookResult(500)


def test_the_gaps_are_the_documented_ones() -> None:
    minute, hour = 60, 3600
    assert GAPS_SECONDS[:7] == (0, 5, 15, 30, 3 * minute, 10 * minute, 30 * minute)
    assert GAPS_SECONDS[7:] == (2 * hour, 5 * hour, 10 * hour, 14 * hour, 20 * hour, 24 * hour)


def test_a_dead_endpoint_in_virtual_time() -> None:
    """T-30: each gap counts from the end of the try before, within 10 % jitter, then the letter is dead."""
    for permille in (-100, 0, 37, 100):
        at = timedelta(0)
        for tries in range(1, TRIES_MAX):
            decision = decide(FAILED, tries=tries, jitter_permille=permille)
            assert decision.verdict is Verdict.RETRY
            assert decision.wait == timedelta(seconds=GAPS_SECONDS[tries]) * (1000 + permille) / 1000
            at += decision.wait
        assert decide(FAILED, tries=TRIES_MAX, jitter_permille=permille) == Decision(Verdict.EXHAUSTED)
        assert timedelta(days=2.8) < at < timedelta(days=3.6)


def test_only_a_2xx_is_a_delivery_and_410_disables() -> None:
    verdicts = {status: decide(WebhookResult(status), tries=1, jitter_permille=0).verdict for status in range(100, 600)}
    assert {status for status, verdict in verdicts.items() if verdict is Verdict.DELIVERED} == set(range(200, 300))
    assert {status for status, verdict in verdicts.items() if verdict is not Verdict.RETRY} == {*range(200, 300), 410}


@pytest.mark.parametrize("error", [error for error in WebhookError if error is not WebhookError.TOO_LARGE])
def test_a_try_without_a_complete_answer_is_repeated_whatever_its_status_said(error: WebhookError) -> None:
    for status in (None, 200, 410):
        assert decide(WebhookResult(status, error), tries=1, jitter_permille=0).verdict is Verdict.RETRY


def test_a_long_body_does_not_undo_the_status() -> None:
    assert decide(WebhookResult(200, WebhookError.TOO_LARGE), tries=1, jitter_permille=0).verdict is Verdict.DELIVERED


@given(
    st.integers(1, TRIES_MAX - 1),
    st.integers(-100, 100),
    st.none() | st.integers(0, 10**9),
    st.sampled_from((429, 503)),
)
def test_retry_after_is_honoured_within_a_day(tries: int, permille: int, asked: int | None, status: int) -> None:
    wait = decide(WebhookResult(status, None, asked), tries=tries, jitter_permille=permille).wait
    assert wait is not None
    assert wait >= timedelta(seconds=min(asked or 0, RETRY_AFTER_SECONDS_MAX))
    assert wait >= timedelta(seconds=GAPS_SECONDS[tries]) * 0.9
    assert wait <= timedelta(days=1) * 1.1


def now() -> datetime:
    return datetime.now(UTC)


def test_the_foreign_verifier_accepts_our_signatures() -> None:
    """T-31."""
    for number in range(100):
        body = json.dumps({"type": "payment.succeeded", "data": {"n": number, "subject": "课程" * number}}).encode()
        secret = make_secret(bytes((number * 7 + i) % 256 for i in range(24 + number % 41)))
        headers = signed_headers([secret], f"evt_{number}", now(), body)
        assert Webhook(secret).verify(body, dict(headers)) == json.loads(body)


def test_during_rotation_both_secrets_verify_and_a_third_does_not() -> None:
    body = b'{"type":"payment.succeeded"}'
    headers = dict(signed_headers([NEW, OLD], "evt_1", now(), body))
    assert len(headers["webhook-signature"].split(" ")) == 2
    assert Webhook(OLD).verify(body, headers) == Webhook(NEW).verify(body, headers) == json.loads(body)
    with pytest.raises(WebhookVerificationError):
        Webhook(make_secret(b"x" * 24)).verify(body, headers)


@pytest.mark.parametrize("changed", ["webhook-id", "webhook-timestamp", "body"])
def test_every_signed_part_counts(changed: str) -> None:
    body = b'{"amount":100}'
    headers = dict(signed_headers([OLD], "evt_1", now(), body))
    if changed == "body":
        body = b'{"amount":101}'
    else:
        headers[changed] = headers[changed][:-1] + ("0" if headers[changed][-1] != "0" else "1")
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(body, headers)


def test_openssl_computes_the_same() -> None:
    # printf '%s' '<id>.1614265330.{"test": 2432232314}' | openssl dgst -sha256 -mac HMAC -macopt hexkey:... -binary
    secret = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}') == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_!!!!", "whsec_c2hvcnQ=", OLD.removeprefix("whsec_"), "sk_" + OLD]
)
def test_an_unreadable_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_secret(secret)
    assert len(secret) < 8 or secret not in caught.value.message


def test_a_secret_reads_back() -> None:
    assert read_secret(make_secret(bytes(range(32)))) == bytes(range(32))
