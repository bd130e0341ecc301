"""`lual demo`: the main job on real input, ending with a proof that nothing is lost."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, TextIO, cast

import click
from click.core import ParameterSource

from lual.cli.demo_input import Line, read_lines
from lual.cli.demo_report import report
from lual.cli.proof import DamagedRunError, prove
from lual.cli.replay import Plan, replay
from lual.errors import ConfigError
from lual.pipelines.escape import escape

#: Records of a run, unless the input has more lines.
_RECORDS = 20_000

#: Options that go with `--verify`.
_WITH_VERIFY = ("verify", "as_json")


@click.command()
@click.option(
    "--input", "source", type=click.File("rb"), help="Replay this file; - is standard input."
)
@click.option("--backend", default="threads", show_default=True, help="Which backend to use.")
@click.option(
    "--threads",
    type=click.IntRange(1, 1000),
    default=4,
    show_default=True,
    help="Threads that log.",
)
@click.option(
    "--records",
    type=click.IntRange(min=1),
    help=f"Records in all.  [default: {_RECORDS}, or the input's lines if there are more]",
)
@click.option(
    "--rate",
    type=click.IntRange(min=0),
    default=5000,
    show_default=True,
    help="Records a second in all; 0: as fast as possible.",
)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write into this folder, new or empty, and keep it.",
)
@click.option(
    "--verify",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Log nothing; prove again what --keep left in this folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Write the result as JSON.")
@click.pass_context
def demo(
    ctx: click.Context,
    source: IO[bytes] | None,
    backend: str,
    threads: int,
    records: int | None,
    rate: int,
    keep: Path | None,
    verify: Path | None,
    as_json: bool,
) -> None:
    """Replay a log through lual, and prove that nothing is lost.

    The lines of a sample log, or of any file, are logged by several threads at once,
    through loggers in a hierarchy and a backend, to the console (standard error: a few of
    the warnings) and to a file of JSON lines that is rotated and packed. At the end all
    files are read back and compared with what each thread noted.

    Exit status: 0 if the proof holds, 1 if it doesn't, 2 if it can't be tried.

    To see it fail: use --keep DIR, delete a line of DIR/demo.log, then use --verify DIR.
    """
    if verify is not None:
        _refuse_others(ctx)
        run, proof = _proved(verify)
    else:
        lines = _read(source)
        wanted = max(_RECORDS, len(lines)) if records is None else records
        with _folder(keep) as folder:
            plan = Plan(backend, threads, wanted, rate, lines, folder)
            run, proof = _run(plan, quiet=as_json)
            if proof["ok"] and keep is None:
                shutil.rmtree(folder)
            elif not as_json:
                click.echo(f"Everything is in {escape(str(folder))}", err=True)
    if as_json:
        click.echo(json.dumps({**run, "proof": proof}, indent=2))
    else:
        click.echo("\n".join(report(run, proof)))
    ctx.exit(0 if proof["ok"] else 1)


def _refuse_others(ctx: click.Context) -> None:
    for name in ctx.params:
        given = ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
        if given and name not in _WITH_VERIFY:
            option = "input" if name == "source" else name
            raise click.UsageError(f"--{option} has no meaning with --verify, which logs nothing")


def _read(source: IO[bytes] | None) -> list[Line]:
    try:
        if source is not None:
            lines = read_lines(source)
        else:
            with open(Path(__file__).with_name("sample.log"), "rb") as sample:
                lines = read_lines(sample)
    except OSError as error:
        raise click.UsageError(escape(f"the input can't be read: {error}")) from error
    if not lines:
        raise click.UsageError("the input has no line; give a file that has at least one")
    return lines


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Makes the folder of a run; one that nobody asked for goes if nothing is to be seen there."""
    if keep is None:
        folder = Path(tempfile.mkdtemp(prefix="lual-demo-"))
    else:
        folder = keep.absolute()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise click.UsageError(
                    escape(f"--keep takes a new or empty folder, and {keep} isn't empty")
                )
        except OSError as error:
            raise click.UsageError(escape(f"--keep can't use {keep}: {error}")) from error
    try:
        yield folder
    except BaseException:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)
        for path in folder.glob("*"):  # an empty log would be in the way of the next attempt
            if not path.stat().st_size:
                path.unlink()
        raise


def _run(plan: Plan, *, quiet: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        with _progress(plan.records, quiet=quiet) as progress:
            replay(plan, progress)
    except ConfigError as error:
        raise click.UsageError(escape(str(error))) from error
    except OSError as error:
        raise click.ClickException(escape(f"the run can't be stored: {error}")) from error
    return _proved(plan.folder)


def _proved(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        return prove(folder)
    except DamagedRunError as error:
        raise click.UsageError(escape(str(error))) from error


class AboveBar:
    """Standard error while a progress bar is on its last line: what is written goes above.

    Args:
        stream: A terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes whole lines in the place of the bar, which is drawn again by its owner."""
        self._stream.write(f"\r\x1b[2K{text}")
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def _progress(records: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Shows a bar if a person looks; yields the function that takes the count so far."""
    stream = sys.stderr
    if quiet or not stream.isatty():
        yield lambda count: None
        return
    above = cast("TextIO", AboveBar(stream))
    bar = click.progressbar(length=records, label="Replaying", file=stream)
    with contextlib.redirect_stderr(above), bar:
        yield lambda count: bar.update(count - bar.pos)
