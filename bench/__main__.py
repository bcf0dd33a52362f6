"""`python -m bench` measures the gateway, `python -m bench --ceiling` the load generator alone."""

import argparse
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

from bench import ceiling, machine

if TYPE_CHECKING:
    from bench import gateway

BUSY = 0.5
HEAD = "group size  payments/s  slowest  fastest   p50 ms   p95 ms   p99 ms  cores"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--ceiling", action="store_true", help="only what the load generator itself can do")
    parser.add_argument("--connections", type=int, default=256, help="keep-alive connections (256)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one run (5)")
    parser.add_argument("--runs", type=int, default=5, help="runs of which the median counts (5)")
    return parser.parse_args()


def print_ceiling(connections: int, seconds: float) -> None:
    top = ceiling.measure(connections=connections, seconds=min(seconds, 2.0), runs=3)
    print(f"ceiling    load generator alone: {top.raw:,.0f}/s from a bare protocol, {top.asgi:,.0f}/s from bare ASGI")


def print_gateway(options: argparse.Namespace) -> None:
    from bench import gateway

    with gateway.database() as (uri, folder):
        settings = gateway.settings(uri)
        bench = gateway.Bench(uri, folder, connections=options.connections, seconds=options.seconds)
        print(f"database   {', '.join(f'{name} {value}' for name, value in settings.items())}")
        print(f"           on {machine.file_system(folder)}, embedded, beside the server and the generator")
        print("measured   POST /v1/payments without a method: bearer key, idempotency key and order_no of its own,")
        print(
            f"           committed with its event; {options.connections} connections, medians of {options.runs} runs of"
        )
        print(f"           {options.seconds:g} s, each against one fresh server process, the two settings by turns\n")
        rounds = [(bench.run(), bench.run(TONGBAO_GROUP_SIZE_MAX="1")) for _ in range(options.runs)]
    print(HEAD)
    total = sum(print_row(name, runs) for name, runs in zip(("default", "1"), zip(*rounds, strict=True), strict=True))
    ratio = median(grouped.outcome.per_second / single.outcome.per_second for grouped, single in rounds)
    print(f"\ngrouped / one by one: {ratio:.1f}, the median of {options.runs} rounds")
    print(f"each of the {total:,} acknowledged payments is in the database, with its event and its key")


def print_row(name: str, runs: "Sequence[gateway.Run]") -> int:
    """One line of the table; returns how many payments it stands for."""
    from bench.gateway import Series

    series = Series.of(runs)
    rates = f"{series.per_second:>11,.0f} {series.slowest:>8,.0f} {series.fastest:>8,.0f}"
    latency = " ".join(f"{series.latency_ms[name]:>8.1f}" for name in ("p50", "p95", "p99"))
    print(f"{name:>10} {rates} {latency} {series.server_cores:>6.2f}")
    return series.payments


def main() -> None:
    options = arguments()
    print(f"machine    {machine.line()}")
    if (load := machine.load()) > BUSY:
        print(f"           {load:.1f} processes were running already: what follows is less than the machine can do")
    print_ceiling(options.connections, options.seconds)
    if not options.ceiling:
        print_gateway(options)


if __name__ == "__main__":
    main()
