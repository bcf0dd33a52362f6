"""Idempotency keys: the key commits with the first write and its answer with the last.

Same key and same request: the first answer again. Other request: refused. Still running: refused for now. A key that
stays unanswered for 60 s (a crash between) is taken over: the command runs again and finds what exists.
"""

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from tongbao.domain.errors import IdempotencyConflict, Outcome, StorageUnavailable, TongbaoError
from tongbao.ports import Clock, Vault
from tongbao.ports.store import Answer, Claim, Key, Store, StoredClaim, Transaction

TAKEOVER_AFTER = timedelta(seconds=60)
KEPT_FOR = timedelta(hours=24)
LOOKS_MAX = 3


@contextmanager
def after_the_first_write() -> Iterator[None]:
    """Something was committed already: a database that goes away now leaves the outcome unknown to the caller."""
    try:
        yield
    except StorageUnavailable as error:
        message = "The database went away in the middle; a part may have been done. Repeat the request as it is."
        raise StorageUnavailable(message, outcome=Outcome.UNKNOWN) from error


@dataclass(frozen=True, slots=True)
class Intent:
    """What a caller's key stands for: `fingerprint` is sha256 of method, path and raw body."""

    key: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Replay:
    """The first answer, kept."""

    status: int
    body: str
    object_id: str | None


class Idempotency:
    """Keys for use cases that are not written in groups: claimed first, answered last.

    The kept answers are sealed: one of them shows a secret for the only time.
    """

    def __init__(self, store: Store, clock: Clock, vault: Vault) -> None:
        self._store = store
        self._clock = clock
        self._vault = vault

    async def begin(self, app_id: str, intent: Intent) -> Replay | None:
        """None to go on; raises IdempotencyConflict."""

        async def work(tx: Transaction) -> Verdict:
            now = self._clock.now()
            return (await claim(tx, [Claim(app_id, intent.key, intent.fingerprint, now)], now))[0]

        verdict = await self._store.transact(work)
        if isinstance(verdict, TongbaoError):
            raise verdict
        if not isinstance(verdict, Replay):
            return None
        body = self._vault.open(base64.b64decode(verdict.body), _context(app_id, intent)).decode()
        return Replay(verdict.status, body, verdict.object_id)

    async def keep(self, app_id: str, intent: Intent, status: int, body: str) -> None:
        """Keeps the answer."""
        sealed = base64.b64encode(self._vault.seal(body.encode(), _context(app_id, intent))).decode()
        answer = Answer(app_id, intent.key, status, sealed, None)
        await self._store.transact(lambda tx: tx.answer_claims([answer]))

    async def keep_open(self, app_id: str, intent: Intent, status: int, body: str) -> None:
        """Keeps the answer of a use case that is written in groups and reads its keys itself; it holds no secret."""
        answer = Answer(app_id, intent.key, status, body, None)
        await self._store.transact(lambda tx: tx.answer_claims([answer]))

    async def keep_refusal(self, app_id: str, intent: Intent, status: int, body: str) -> None:
        """Keeps a final refusal of such a use case, which gave its key back; whoever took it meanwhile has it."""
        refusal = Claim(app_id, intent.key, intent.fingerprint, self._clock.now(), None, status, body)
        await self._store.transact(lambda tx: tx.insert_claims([refusal]))

    async def forget(self, app_id: str, intent: Intent) -> None:
        """Gives the key back: this answer is not kept, the same request may succeed later."""
        await self._store.transact(lambda tx: tx.drop_claims([(app_id, intent.key)]))


def _context(app_id: str, intent: Intent) -> str:
    return f"idempotency_keys|{app_id}|{intent.key}|body"


@dataclass(frozen=True, slots=True)
class SameAs:
    """A repeat within the same batch: its result is that of the command at `index`."""

    index: int


@dataclass(frozen=True, slots=True)
class TakenOver:
    """The command goes on in place of one that never answered; `object_id` is what that one had begun to make."""

    object_id: str | None


Verdict = None | TakenOver | Replay | SameAs | TongbaoError


def goes_on(verdict: Verdict) -> bool:
    """True for a command that is to be carried out and answered."""
    return verdict is None or isinstance(verdict, TakenOver)


async def claim(tx: Transaction, claims: Sequence[Claim | None], now: datetime) -> list[Verdict]:
    """For each command: None or TakenOver to go on, what to answer with instead, or the conflict to refuse with."""
    firsts: dict[Key, int] = {}
    heads: dict[Key, Claim] = {}
    for index, wanted in enumerate(claims):
        if wanted is not None and (wanted.app_id, wanted.key) not in firsts:
            firsts[wanted.app_id, wanted.key] = index
            heads[wanted.app_id, wanted.key] = wanted
    verdicts = await _judge_heads(tx, heads, now) if heads else {}
    results: list[Verdict] = []
    for index, wanted in enumerate(claims):
        key = None if wanted is None else (wanted.app_id, wanted.key)
        if wanted is None or key is None:
            results.append(None)
        elif firsts[key] == index:
            results.append(verdicts.get(key))
        else:
            results.append(_repeat(wanted, heads[key], firsts[key], verdicts.get(key)))
    return results


async def _judge_heads(tx: Transaction, heads: dict[Key, Claim], now: datetime) -> dict[Key, Verdict]:
    """Verdicts of the keys that were there before. One that goes away while we look (given back, purged) is claimed
    again; one that keeps doing so is left to its caller's next try."""
    verdicts: dict[Key, Verdict] = {}
    wanted = dict(heads)
    for _ in range(LOOKS_MAX):
        lost = wanted.keys() - await tx.insert_claims(list(wanted.values()))
        stored = await tx.read_claims(lost) if lost else {}
        verdicts |= {key: _judge(heads[key], found, now) for key, found in stored.items()}
        wanted = {key: heads[key] for key in lost if key not in stored}
        if not wanted:
            break
    taken_over = [key for key, verdict in verdicts.items() if isinstance(verdict, TakenOver)]
    if taken_over:
        await tx.renew_claims(taken_over, now)
    return verdicts | {key: in_progress() for key in wanted}


def _repeat(wanted: Claim, head: Claim, first: int, verdict: Verdict) -> Verdict:
    if wanted.fingerprint != head.fingerprint:
        return _mismatch()
    return SameAs(first) if goes_on(verdict) else verdict


def in_progress() -> IdempotencyConflict:
    return IdempotencyConflict(
        "the first request with this Idempotency-Key is still running; repeat it in a moment",
        code="idempotency_in_progress",
    )


def _judge(wanted: Claim, stored: StoredClaim, now: datetime) -> Replay | TongbaoError | TakenOver:
    if stored.fingerprint != wanted.fingerprint:
        return _mismatch()
    if stored.status is not None and stored.body is not None:
        return Replay(stored.status, stored.body, stored.object_id)
    if now - stored.created_at < TAKEOVER_AFTER:
        return in_progress()
    return TakenOver(stored.object_id)


def _mismatch() -> IdempotencyConflict:
    return IdempotencyConflict(
        "this Idempotency-Key was used for another request; use a new key for a new intent",
        code="idempotency_mismatch",
    )
