"""Group commit: idle it goes at once, under load it gathers, and one item's trouble is its own."""

import asyncio
from collections.abc import Sequence

import pytest

from tongbao.domain.errors import NotFound, Outcome, StorageUnavailable, TongbaoError
from tongbao.storage.failures import DataRefused
from tongbao.storage.group_commit import GroupCommit

Result = int | TongbaoError


class Work:
    """Answers twice the command; `poison` commands raise, and `gate` holds a batch in flight."""

    def __init__(self, poison: dict[int, Exception] | None = None) -> None:
        self.poison = poison or {}
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.at_once = self.at_once_max = 0

    async def __call__(self, commands: Sequence[int]) -> list[Result]:
        self.batches.append(list(commands))
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        try:
            await self.gate.wait()
            for command in commands:
                if command in self.poison:
                    raise self.poison[command]
            return [NotFound("minus") if command < 0 else command * 2 for command in commands]
        finally:
            self.at_once -= 1


async def settled(*futures: "asyncio.Future[int]") -> list[int | BaseException]:
    return await asyncio.gather(*futures, return_exceptions=True)


async def test_idle_it_goes_at_once_and_gathers_while_one_is_in_flight() -> None:
    work = Work()
    group: GroupCommit[int, int] = GroupCommit(work)
    assert await group.submit(1) == 2
    work.gate.clear()
    futures = [group.submit(2)]
    await asyncio.sleep(0)
    futures += [group.submit(n) for n in range(3, 13)]
    assert group.backlog == 10
    work.gate.set()
    assert await settled(*futures) == [n * 2 for n in range(2, 13)]
    assert work.batches == [[1], [2], list(range(3, 13))]


async def test_a_batch_has_a_largest_size_and_few_are_in_flight() -> None:
    work = Work()
    group: GroupCommit[int, int] = GroupCommit(work, size_max=4, in_flight_max=2)
    work.gate.clear()
    futures = [group.submit(n) for n in range(20)]
    await asyncio.sleep(0)
    assert work.at_once_max <= 2
    work.gate.set()
    assert await settled(*futures) == [n * 2 for n in range(20)]
    assert max(len(batch) for batch in work.batches) == 4
    assert work.at_once_max == 2


async def test_a_refused_command_is_a_value() -> None:
    group: GroupCommit[int, int] = GroupCommit(Work())
    first, second, third = await settled(group.submit(1), group.submit(-1), group.submit(2))
    assert (first, third) == (2, 4)
    assert isinstance(second, NotFound)


@pytest.mark.parametrize("error", [DataRefused(), KeyError("a bug"), AssertionError(), TypeError("a bug")])
async def test_what_one_item_breaks_hurts_no_neighbour(error: Exception) -> None:
    work = Work({7: error, 11: error})
    group: GroupCommit[int, int] = GroupCommit(work)
    answers = await settled(*(group.submit(n) for n in range(16)))
    assert [n for n, answer in enumerate(answers) if answer is error] == [7, 11]
    assert [answer for answer in answers if answer is not error] == [n * 2 for n in range(16) if n not in (7, 11)]
    assert len(work.batches) <= 2 * 2 * 4 + 1, "found by halving"


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.NOT_EXECUTED])
async def test_a_lost_database_is_told_to_everyone_once(outcome: Outcome) -> None:
    lost = StorageUnavailable(outcome=outcome)
    work = Work({3: lost})
    group: GroupCommit[int, int] = GroupCommit(work)
    answers = await settled(*(group.submit(n) for n in range(8)))
    assert all(isinstance(answer, StorageUnavailable) and answer.outcome is outcome for answer in answers)
    assert len(work.batches) == 1, "an unknown commit is never run again by itself"


async def test_a_caller_that_left_misses_nothing_and_stops_nobody() -> None:
    work = Work()
    group: GroupCommit[int, int] = GroupCommit(work)
    work.gate.clear()
    futures = [group.submit(n) for n in range(4)]
    await asyncio.sleep(0)
    futures[1].cancel()
    work.gate.set()
    answers = await settled(*futures)
    assert [answers[0], answers[2], answers[3]] == [0, 4, 6]
    assert work.batches == [[0, 1, 2, 3]], "its command was carried out all the same"


async def test_an_unexpected_failure_reaches_all_and_the_next_batch_runs() -> None:
    work = Work({1: OSError("disk")})
    group: GroupCommit[int, int] = GroupCommit(work)
    assert all(isinstance(answer, OSError) for answer in await settled(group.submit(1), group.submit(2)))
    assert await group.submit(2) == 4
