"""`python -m bench` measures the gateway, `python -m bench --ceiling` the generator alone."""

import argparse

from bench import ceiling, machine


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--ceiling", action="store_true", help="only what the load generator itself can do")
    parser.add_argument("--connections", type=int, default=256, help="keep-alive connections (256)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one run (5)")
    parser.add_argument("--runs", type=int, default=5, help="runs of which the median counts (5)")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    print(machine.line())
    top = ceiling.measure(connections=options.connections, seconds=min(options.seconds, 3.0), runs=3)
    print(
        f"load generator's ceiling: {top.raw:,.0f}/s against a bare protocol, {top.asgi:,.0f}/s against a bare ASGI app"
    )


if __name__ == "__main__":
    main()
