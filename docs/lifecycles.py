"""Prints the lifecycle tables into docs/architecture.md, between `<!-- lifecycle: name -->` and `<!-- end -->`.

    python docs/lifecycles.py

The tables are the truth; `tests/test_docs.py` fails when the page says something else.
"""

import re
from pathlib import Path

from tongbao.domain.lifecycle import as_mermaid
from tongbao.domain.payment import ATTEMPT_LIFECYCLE, PAYMENT_LIFECYCLE, AttemptStatus, PaymentStatus
from tongbao.domain.refund import REFUND_LIFECYCLE, RefundStatus

PAGE = Path(__file__).parent / "architecture.md"
MARK = re.compile(r"(<!-- lifecycle: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

DIAGRAMS = {
    "payment": as_mermaid(PAYMENT_LIFECYCLE, PaymentStatus.PENDING),
    "attempt": as_mermaid(ATTEMPT_LIFECYCLE, AttemptStatus.CREATED),
    "refund": as_mermaid(REFUND_LIFECYCLE, RefundStatus.PENDING),
}


def printed(text: str) -> str:
    """The page with every diagram as its table has it; raises KeyError for a name without a table."""
    return MARK.sub(lambda found: f"{found[1]}```mermaid\n{DIAGRAMS[found[2]]}\n```\n{found[3]}", text)


if __name__ == "__main__":
    PAGE.write_text(printed(PAGE.read_text("utf-8")), "utf-8")
