"""The `transfuse` command: its parts, and the one place where every error ends.

Heavy packages are imported inside the commands, so that `transfuse --help` answers at once.
"""

import io
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from transfuse.cli import (
    after_commands,
    catalogue,
    data_commands,
    fuse_commands,
    model_commands,
    run_commands,
    serve_commands,
    short_ways,
)
from transfuse.cli.crash import write_crash
from transfuse.cli.session import Session
from transfuse.cli.show import print_problems, stderr, version_text
from transfuse.errors import Problem, TransfuseError

__all__ = ["app", "main"]

_INTERRUPTED = 130
"""What a shell expects of a command that was stopped with Ctrl-C: 128 + SIGINT."""

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version_text())
        raise typer.Exit


@app.callback(invoke_without_command=True)
def transfuse(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Move what a pretrained model knows into the model you need, and prove that it helped.

    First steps:

    [green]transfuse run news-to-reviews[/]   a whole study with its report, in minutes

    [green]transfuse recipes copy news-to-reviews my-study.yaml[/]   make it yours

    [green]transfuse check my.csv[/]   what is in your data, and what is wrong with it
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


run_commands.register(app)
short_ways.register(app)
model_commands.register(app)
fuse_commands.register(app)
after_commands.register(app)
serve_commands.register(app)
data_commands.register(app)
catalogue.register(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: What stands after `transfuse`. Default: those of this process.

    Returns:
        The exit code: 0 for success; 2 where a person can mend something, each problem printed;
        130 after Ctrl-C; 1 for a mistake of Transfuse's own, with the place of its traceback.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    session = Session()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A character that the terminal has not is shown as a question mark, not as a crash.
            stream.reconfigure(errors="replace")
    try:
        app(args=given, prog_name="transfuse", obj=session)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if code == _INTERRUPTED:
            again = " Run the same command again to go on." if session.resumable else ""
            stderr().print(f"\nStopped.{again}", highlight=False)
        return code
    except TransfuseError as error:
        print_problems(error.problems)
        return 2
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has gone. What is still buffered has no place to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001
        # Right here and nowhere else: what is not a TransfuseError is a mistake in Transfuse or
        # the machine, and a person is helped by one line and a file to send, not by a traceback.
        return _unforeseen(error, given, session)
    return 0


def _unforeseen(error: Exception, arguments: Sequence[str], session: Session) -> int:
    if isinstance(error, OSError) and error.filename is not None:
        # A folder without rights, a full disk: nothing that a bug report could mend.
        what = error.strerror or str(error)
        # Of a rename the new name is the one that a person gave.
        where = error.filename if error.filename2 is None else error.filename2
        print_problems([Problem(str(where), what[:1].lower() + what[1:])])
        return 2
    path = write_crash(error, arguments, session.output)
    stderr().print(
        f"[bold red]This is a mistake in Transfuse, not in what you did:[/] {_first_line(error)}",
        highlight=False,
    )
    stderr().print(f"Please report it with this file: {path}", highlight=False, soft_wrap=True)
    return 1


def _first_line(error: Exception) -> str:
    from rich.markup import escape

    text = str(error).splitlines()
    return escape(f"{type(error).__name__}: {text[0]}" if text else type(error).__name__)
