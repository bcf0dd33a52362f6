"""Workers: bounded loops that do what is due. Ask again, refund, expire, deliver, and keep the house.

Rule 1: any number of them, in any number of processes, share the work by lease; there is no leader to lose.
Rule 2: a job that fails is logged, given back and waits longer each time; it holds up nobody.
Rule 3: while the database is away everything pauses, and goes on by itself. A claim whose answer was lost may hold rows
        that we do not know of: the worker goes on under another name, and they come back when the old one is silent.
Rule 4: every step can be called alone (`ask_once`, `deliver_once`, ...), so that a test moves the clock and counts.
"""

from tongbao.workers.loops import ASK_PAUSE, FOLD_LIMIT, Workers

__all__ = ["ASK_PAUSE", "FOLD_LIMIT", "Workers"]
