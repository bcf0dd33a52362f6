"""Beginning attempts: what is refused before anything is written, and an answer that is not thrown away."""

import asyncio
from typing import Any

from tests.scenarios.street import SANDBOX, Street
from tongbao.domain.errors import StorageUnavailable
from tongbao.services.payments import Record, Recorded


async def test_an_option_that_a_method_needs_is_asked_for_before_anything_is_written(street: Street) -> None:
    body = {"order_no": "O1", "amount": 100, "currency": "CNY", "subject": "Tea", "method": "alipay_barcode"}
    status, problem = await street.call("POST", "/v1/payments", body)
    assert (status, problem["param"]) == (422, "/method_options/auth_code")
    assert await street.rows("SELECT 1 FROM payments") == []


async def test_two_begins_at_once_make_one_attempt(street: Street) -> None:
    payment = await street.order(method=None)
    path = f"/v1/payments/{payment['id']}/attempts"
    answers = await asyncio.gather(*(street.call("POST", path, {"method": "alipay_qr"}) for _ in range(8)))
    statuses = [status for status, _ in answers]
    assert statuses.count(201) == 1
    assert all(problem["code"] == "attempt_in_progress" for status, problem in answers if status == 409)
    assert set(statuses) <= {200, 201, 409}
    assert len(await street.rows("SELECT 1 FROM attempts")) == 1


async def test_the_channels_answer_outlives_a_database_that_is_away_for_a_moment(
    street: Street, monkeypatch: Any
) -> None:
    """A seam would be a second store; the queue's failure is what it would show."""
    record, failures = street.services.payments.record, [StorageUnavailable(), StorageUnavailable()]

    async def unlucky(wanted: Record) -> Recorded:
        if failures:
            raise failures.pop()
        return await record(wanted)

    monkeypatch.setattr(street.services.payments, "record", unlucky)
    payment = await street.order(method="alipay_qr")
    assert payment["next_action"]["type"] == "qr_code"
    assert len([sent for sent in street.net.sent if SANDBOX in sent.url]) == 1, "the channel is not called again"
