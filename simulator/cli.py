"""Run the simulator in the foreground until a signal ends it."""

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable

from simulator.control.operations import listed
from simulator.options import add_arguments, from_arguments
from simulator.org.records import JsonObject
from simulator.server import serving
from simulator.simulator import Simulator


def main() -> int:
    """Run `python -m simulator`, and return the exit code: 2: wrong options, 1: port in use."""
    parser = argparse.ArgumentParser(
        prog="simulator",
        description="A simulated Salesforce org, for development and tests.",
        epilog=listed(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    parser.add_argument(
        "--exit-with-stdin",
        action="store_true",
        help="exit when standard input is closed, so that no process outlives its parent",
    )
    parsed = vars(parser.parse_args())
    try:
        simulator = Simulator(from_arguments(parsed))
    except (ValueError, LookupError) as error:
        parser.error(str(error))
    try:
        run(
            simulator,
            sys.stdout.write,
            as_json=parsed["json"],
            follow_stdin=parsed["exit_with_stdin"],
        )
    except OSError as error:
        sys.stderr.write(f"cannot listen: {error}\n")
        return 1
    return 0


def run(
    simulator: Simulator,
    write: Callable[[str], object],
    *,
    as_json: bool,
    follow_stdin: bool = False,
) -> None:
    """Announce the simulator with `write`, and serve until a signal arrives or, with
    `follow_stdin`, standard input is closed."""

    async def serve() -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, ended.set)
        if follow_stdin:
            _at_end_of_stdin(loop, ended)
        async with serving(simulator) as port:
            announcement = simulator.announcement(port)
            write(json.dumps(announcement) + "\n" if as_json else _text(announcement))
            sys.stdout.flush()
            await ended.wait()

    asyncio.run(serve())


def _at_end_of_stdin(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    def read() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            loop.remove_reader(sys.stdin)
            ended.set()

    loop.add_reader(sys.stdin, read)


def _text(announcement: JsonObject) -> str:
    url = announcement["url"]
    hidden = ("url", "port", "grpc_port", "private_key")
    shown = {name: value for name, value in announcement.items() if name not in hidden}
    credentials = "".join(f"  {name:14} {value}\n" for name, value in shown.items())
    return (
        f"Salesforce simulator at {url} (stop it with Ctrl-C)\n{credentials}"
        f"  control API    {url}/_simulator/state\n"
        "  private key    for JWT logins: shown with --json\n"
    )
