"""`flask hexclave check`: what is wrong with an application, before it gets its first request."""

from __future__ import annotations

import click
from flask import current_app
from flask.cli import AppGroup

from ._caller import installation
from ._startup import problems

__all__ = ["commands"]

commands = AppGroup("hexclave", help="Look after Hexclave authentication.")


@commands.command("check")
@click.option("--online", is_flag=True, help="Fetch the project's keys too.")
def check(online: bool) -> None:
    """Check the settings and the requirements of all routes; exit with 1 if something is wrong."""
    with installation().client as client:  # leaves no connection open behind the answer
        found = list(problems(current_app, client.config))
        if online and not client.warm():
            found.append(
                f"The keys of project {client.config.project_id} cannot be fetched from {client.config.api_url}."
            )
    for problem in found:
        click.echo(problem, err=True)
    if found:
        raise SystemExit(1)
    click.echo(f"No problems found for project {client.config.project_id} at {client.config.api_url}.")
