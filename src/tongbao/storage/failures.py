"""What PostgreSQL's failures mean: one table, read by every transaction.

refused  - this data can never be stored: find the item (bisect)
contention - another transaction was in the way: the same batch again
away     - the database is not there: nothing was executed, everybody may try again
"""

import asyncpg

from tongbao.domain.errors import InvalidInput, Outcome, StorageUnavailable

REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)
"""The server refuses the value; what the driver itself cannot encode is recognised by `is_refused`."""
CONTENTION = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError)
AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.DiskFullError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InterfaceError,
    ConnectionError,
    TimeoutError,
    OSError,
)


def is_refused(error: BaseException) -> bool:
    """True when the data of some item is to blame. The driver's own refusal is an InterfaceError and a ValueError."""
    return isinstance(error, REFUSED) or (isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError))


class DataRefused(InvalidInput):
    """The database refuses this value."""

    code = "value_refused"


class CommitUnknown(Exception):
    """The connection was lost during COMMIT: the transaction may or may not be there."""


def away(error: BaseException) -> StorageUnavailable:
    """What callers see of a database that is gone."""
    if isinstance(error, CommitUnknown):
        message = "The database was lost while it committed; it may have been stored. Repeat the request as it is."
        return StorageUnavailable(message, outcome=Outcome.UNKNOWN)
    return StorageUnavailable()
