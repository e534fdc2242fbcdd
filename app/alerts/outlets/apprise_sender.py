"""Messages by apprise: Telegram, Discord, Slack, e-mail, ntfy and a hundred more, each by its URL."""

from __future__ import annotations

import asyncio
import multiprocessing
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from app.alerts.outlets.webhooks import ALLOWED_BY, Outcome
from coinwatch.alerts import Alert

TIMEOUT_S = 30.0
"""After so long the process of an attempt is killed."""
_PROCESS = "app.alerts.outlets.apprise_process"

# One process loads the hundred services, and forks for each message.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["__main__", _PROCESS])


async def send(url: str, alert: Alert, *, allow_private: bool, timeout_s: float = TIMEOUT_S) -> Outcome:
    """Make an attempt, to a private address only with ``allow_private``.

    Never raises for what the service does, and takes no longer than ``timeout_s``.
    """
    process = None
    try:
        async with asyncio.timeout(timeout_s):
            process, results = await asyncio.to_thread(_start, url, alert, allow_private)
            with results:
                await _readable(results)
                problem, is_private = results.recv()
    except TimeoutError:
        problem, is_private = f"no answer within {timeout_s:g} s", False
    except EOFError:
        problem, is_private = "its answer took too much memory or time", False
    finally:
        if process is not None:
            process.kill()
    if is_private:
        problem = f"the address is private; {ALLOWED_BY}"
    return Outcome(delivered=problem is None, error=problem)


def _start(url: str, alert: Alert, allow_private: bool) -> tuple[BaseProcess, Connection]:
    from app.alerts.outlets import apprise_process  # takes half a second, which other endpoints save

    results, to_results = _processes.Pipe(duplex=False)
    process = _processes.Process(
        target=apprise_process.run,
        args=(to_results, url, f"Coinwatch: {alert.symbol}", alert.message),
        kwargs={"allow_private": allow_private},
        daemon=True,
    )
    process.start()
    to_results.close()
    return process, results


async def _readable(results: Connection) -> None:
    """Wait until there is a result, or the process has ended."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(results.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(results.fileno())
