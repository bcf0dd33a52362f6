"""What PostgreSQL's failures mean to a batch: one table, read by the group commit.

refused  - this data can never be stored: find the item (bisect)
contention - another transaction was in the way: the same batch again
away     - the database is not there: nothing was executed, everybody may try again
"""

import asyncpg

from tongbao.domain.errors import InvalidInput, Outcome, StorageUnavailable, TongbaoError

REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
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


class CommitUnknown(Exception):
    """The connection was lost during COMMIT: the batch may or may not be there."""


def as_domain_error(error: BaseException) -> TongbaoError:
    """The error that a single command's caller sees."""
    if isinstance(error, TongbaoError):
        return error
    if is_refused(error):
        return InvalidInput("the database refuses this value", code="value_refused")
    raise error


def away(error: BaseException) -> StorageUnavailable:
    """The same for a whole batch whose database is gone."""
    if isinstance(error, CommitUnknown):
        message = "The database was lost while it committed; it may have been stored. Repeat the request as it is."
        return StorageUnavailable(message, outcome=Outcome.UNKNOWN)
    return StorageUnavailable()
