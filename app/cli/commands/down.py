"""``coinwatch down``: stops what ``coinwatch up`` runs."""

from __future__ import annotations

import typer

from app.cli.demo import command_settings
from app.cli.output import AsJson, Demo, print_json
from app.cli.runner.data_folder import STOPS_WITHIN_S, Stopped, stop
from app.cli.shapes import Down


def down(demo: Demo = False, as_json: AsJson = False) -> None:
    """Stop the stack that runs on the data folder.

    Stops coinwatch up with all its parts and the embedded Postgres, as Ctrl-C does. After up was killed, it
    ends what is left. Programs that were not started by up, such as a coinwatch ingest of systemd, keep
    running.

    Exit code 0 when nothing of it runs any more, also if nothing ran; 1 when something cannot be stopped.
    """
    folder = command_settings(demo=demo).data_dir
    stopped = stop(folder)
    if as_json:
        print_json(Down(folder=str(folder), up=stopped.up, killed=stopped.killed, parts=list(stopped.parts)))
    else:
        typer.echo(f"{_describe(stopped)} in {folder}")


def _describe(stopped: Stopped) -> str:
    names = ", ".join(stopped.parts) or "no parts"
    if stopped.killed:
        return (
            f"Killed coinwatch up (pid {stopped.up}), which did not stop in {STOPS_WITHIN_S:.0f} s: {names}"
        )
    if stopped.up:
        return f"Stopped coinwatch up (pid {stopped.up}): {names}"
    return f"Stopped {names}" if stopped.parts else "Nothing was running"
