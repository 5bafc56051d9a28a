"""The `rota` command. What a command needs is imported when it runs, since `up` stays in memory."""
# ruff: noqa: PLC0415

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from rota_cli.errors import ERROR_PREFIX, CommandError
from rota_cli.folder import DataFolder, read_json
from rota_cli.settings import Settings

if TYPE_CHECKING:
    from rota_cli.logs import LogFile

NOT_RUNNING = 3


@click.group()
def rota() -> None:
    """Rota on this machine."""


@rota.command()
@click.option("--detach", "-d", is_flag=True, help="Return when everything serves; `rota down` stops it.")
@click.option("--verbose", "-v", is_flag=True, help="Print every log line, not only warnings and errors.")
@click.option("--background", is_flag=True, hidden=True, help="The process that --detach starts.")
def up(*, detach: bool, verbose: bool, background: bool) -> None:
    """Start everything and keep it running."""
    settings = Settings.from_environment()
    folder = DataFolder(settings.data_dir)
    folder.prepare()
    if detach:
        from rota_cli import background as detached
        from rota_cli import summary

        arguments = ["up", "--background", *(["--verbose"] if verbose else [])]
        detached.start(folder, arguments, say=click.echo)
        click.echo(summary.ready(read_json(folder.state), read_json(folder.admin)))
        return
    with folder.locked():
        _run(settings, folder, verbose=verbose, background=background)


def _run(settings: Settings, folder: DataFolder, *, verbose: bool, background: bool) -> None:
    import asyncio

    from rota_chassis.embedded.sockets import port_is_free

    from rota_cli import credentials, logs, stack, summary
    from rota_cli.up import Running

    if not port_is_free(settings.http_host, settings.http_port):
        raise CommandError(
            f"Port {settings.http_port} on {settings.http_host} is taken; stop what uses it or set ROTA_HTTP_PORT."
        )
    kept = credentials.load(folder, settings)
    colour = sys.stdout.isatty()

    def show(log: LogFile, line: bytes) -> None:
        if verbose or not logs.is_quiet(line):
            click.echo(logs.render(line, log.name, colour=colour))

    def on_ready(state: dict[str, Any]) -> None:
        credentials.remember_admin(folder, kept)
        if kept.warning:
            click.echo(f"warning: {kept.warning}")
        if not background:
            click.echo(summary.ready(state, read_json(folder.admin)))

    click.echo(f"Starting Rota in {folder.path}")
    parts = stack.build(settings, folder, kept)
    asyncio.run(Running(parts, folder, say=click.echo, show=show, on_ready=on_ready).run())


@rota.command()
def down() -> None:
    """Stop what runs in the data folder, and wait until it has stopped."""
    from rota_cli import background

    folder = DataFolder(Settings.from_environment().data_dir)
    click.echo("Rota has stopped." if background.stop(folder) else "Rota is not running.")


@rota.command()
def status() -> None:
    """Show what runs and its memory. Exits with 0 when all is up, 1 when a part is not, 3 when nothing runs."""
    from rota_cli import processes, summary

    folder = DataFolder(Settings.from_environment().data_dir)
    if folder.holder() is None:
        raise CommandError(f"Rota is not running in {folder.path}.", exit_code=NOT_RUNNING)
    state = read_json(folder.state)
    reports = processes.reports(state)
    click.echo(summary.status(state, reports))
    sys.exit(0 if state.get("phase") == "ready" and all(report.is_up for report in reports) else 1)


@rota.command()
@click.argument("service", required=False)
@click.option("--follow", "-f", is_flag=True, help="Go on as lines are written, until Ctrl-C.")
@click.option("--lines", "-n", default=100, show_default=True, help="How many of the latest lines to begin with.")
def logs(service: str | None, *, follow: bool, lines: int) -> None:
    """Show the logs of everything, or of one service or server."""
    import asyncio
    from contextlib import suppress

    from rota_cli import logs as files
    from rota_cli.stack import BACKENDS

    folder = DataFolder(Settings.from_environment().data_dir)
    known = sorted(path.stem for path in folder.logs.glob("*.log"))
    if service is not None and service not in known:
        raise CommandError(f"There is no log of {service!r}; there are: {', '.join(known) or 'none yet'}.")
    names = [service] if service else [name for name in ("gateway", *BACKENDS) if name in known]
    paths = [folder.logs / f"{name}.log" for name in names]
    colour = sys.stdout.isatty()
    opened = [files.LogFile(path) for path in paths]
    for name, line in files.last_lines(paths, lines):
        click.echo(files.render(line, name, colour=colour))
    if follow:
        with suppress(KeyboardInterrupt):
            asyncio.run(files.follow(opened, lambda log, line: click.echo(files.render(line, log.name, colour=colour))))


@rota.command()
def migrate() -> None:
    """Bring the databases on ROTA_POSTGRES_URL up to date; for deployments, `rota up` does it itself."""
    from rota_cli.stack import BACKENDS

    if Settings.from_environment().postgres_url is None:
        raise CommandError("Set ROTA_POSTGRES_URL to the server whose databases are to be brought up to date.")
    os.execv(sys.executable, [sys.executable, "-m", "rota_chassis.postgres.migrations", *BACKENDS])  # noqa: S606


@rota.command()
@click.argument("service", type=click.Choice(["tasks"]))
@click.option("--projection", help="One table only, by its name: labels.")
def rebuild(service: str, *, projection: str | None) -> None:
    """Make the read tables of a service what its event log says, while it serves.

    It works on ROTA_POSTGRES_URL, or else on the Rota that runs in the data folder.
    """
    settings = Settings.from_environment()
    environment = dict(os.environ)
    if settings.postgres_url is None:
        from rota_chassis.embedded.postgres import Postgres

        folder = DataFolder(settings.data_dir)
        if folder.holder() is None:
            raise CommandError(f"Rota is not running in {folder.path}; start it with `rota up`.", exit_code=NOT_RUNNING)
        server = Postgres(folder.path / "postgres", folder.run, folder.logs / "postgres.log")
        environment["ROTA_POSTGRES_URL"] = server.url
    arguments = [] if projection is None else ["--projection", projection]
    command = [sys.executable, "-m", f"rota_{service}", "rebuild", *arguments]
    os.execve(sys.executable, command, environment)  # noqa: S606


@rota.command()
@click.option("--url", help="Address of the gateway; by default of the Rota that runs in the data folder.")
def demo(url: str | None) -> None:
    """Tell a story through the public API: two people, a task, a reminder, a schedule."""
    import asyncio

    from rota_cli.demo.people import StoryError
    from rota_cli.demo.story import tell

    settings = Settings.from_environment()
    folder = DataFolder(settings.data_dir)
    if url is None and folder.holder() is None:
        raise CommandError(f"Rota is not running in {folder.path}; start it with `rota up`.", exit_code=NOT_RUNNING)
    try:
        asyncio.run(tell(url or f"http://{settings.reachable_host}:{settings.http_port}", click.echo))
    except StoryError as error:
        raise CommandError(str(error)) from error


@rota.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    click.echo(f"rota {installed('rota-cli')}")


def main() -> NoReturn:
    """Run the command; an error is one sentence on standard error."""
    try:
        rota(standalone_mode=False)
    except CommandError as error:
        click.echo(f"{ERROR_PREFIX}{error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    sys.exit(0)


if __name__ == "__main__":
    main()
