"""`flask hexclave check`: what is wrong with an application, before it gets its first request."""

from __future__ import annotations

import click
from flask import current_app
from flask.cli import AppGroup

from .._adapter.check import check as check_online
from ._caller import installation
from ._startup import problems

__all__ = ["commands"]

commands = AppGroup("hexclave", help="Look after Hexclave authentication.")


@commands.command("check")
@click.option("--online", is_flag=True, help="Ask Hexclave, Redis and the clock too, as `hexclave check` does.")
def check(online: bool) -> None:
    """Check the settings and the requirements of all routes; exit with 1 if something is wrong."""
    client = installation().client
    found = list(problems(current_app, client.config))
    for problem in found:
        click.echo(problem, err=True)
    is_wrong = bool(found)
    for finding in check_online(client.config) if online else ():
        click.echo(str(finding))
        is_wrong = is_wrong or finding.state == "wrong"
    if is_wrong:
        raise SystemExit(1)
    click.echo(f"No problems found for project {client.config.project_id} at {client.config.api_url}.")
