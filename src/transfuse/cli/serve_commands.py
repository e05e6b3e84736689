"""The command that puts models on the network: serve."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transfuse.cli.show import note, stdout
from transfuse.errors import Problem, TransfuseError

if TYPE_CHECKING:
    from transfuse.serving import Service

__all__ = ["read_token", "register"]

_NEEDED = ("fastapi", "httptools", "prometheus_client", "uvicorn")

_TOKEN = "TRANSFUSE_TOKEN"

_AS_JSON = """(printf '{"images": ["'; base64 < photo.jpg | tr -d '\\n'; printf '"]}')"""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("serve")(serve)


def serve(
    folders: Annotated[
        list[str],
        typer.Argument(
            metavar="FOLDER...",
            help="Model folders; NAME=FOLDER gives one another name than its recipe's.",
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 for all of this machine's.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen at; 0 for any that is free.", min=0, max=65535)
    ] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help=f"File with the token that requests must carry. Default: the variable {_TOKEN}, "
            "else none."
        ),
    ] = None,
    max_batch: Annotated[
        int, typer.Option(help="Texts that a model reads at once at the most.", min=1)
    ] = 32,
    latency_ms: Annotated[
        float,
        typer.Option(help="How long a text waits for others while the server is busy.", min=0),
    ] = 10.0,
    queue: Annotated[
        int, typer.Option(help="Texts that may wait; beyond them a request gets 429.", min=1)
    ] = 512,
    wait_seconds: Annotated[
        float, typer.Option(help="Seconds that a text may have to wait; beyond them 429.", min=0.01)
    ] = 2.0,
    max_body: Annotated[int, typer.Option(help="Bytes of a request at the most.", min=1)] = 2**20,
    max_texts: Annotated[int, typer.Option(help="Texts of a request at the most.", min=1)] = 256,
    max_characters: Annotated[
        int, typer.Option(help="Characters of a text at the most.", min=1)
    ] = 20_000,
    max_image_body: Annotated[
        int, typer.Option(help="Bytes of a request with pictures at the most.", min=1)
    ] = 2**24,
    max_images: Annotated[int, typer.Option(help="Pictures of a request at the most.", min=1)] = 16,
    max_pixels: Annotated[
        int, typer.Option(help="Pixels that a picture may have at the most.", min=1)
    ] = 50_000_000,
    threads: Annotated[
        int | None,
        typer.Option(help="Processor threads for each model. Default: all cores.", min=1),
    ] = None,
    drain_seconds: Annotated[
        int, typer.Option(help="How long a stopping server goes on answering.", min=1)
    ] = 20,
) -> None:
    """Answer over HTTP, with a page to try the models.

    [green]transfuse serve runs/news-to-reviews/model[/]

    [green]transfuse serve small=runs/a/model large=runs/b/model --port 9000[/]
    """
    _check_packages()
    from transfuse.models import hold_memory
    from transfuse.serving import Service, Serving
    from transfuse.serving import serve as run
    from transfuse.serving.server import listen
    from transfuse.serving.service import named_folders

    try:
        options = Serving(
            max_batch=max_batch,
            latency_ms=latency_ms,
            queue=queue,
            wait_seconds=wait_seconds,
            max_body=max_body,
            max_texts=max_texts,
            max_characters=max_characters,
            max_image_body=max_image_body,
            max_images=max_images,
            max_pixels=max_pixels,
            threads=threads,
            drain_seconds=drain_seconds,
        )
    except ValueError as error:
        raise TransfuseError(Problem("serve", str(error))) from None
    token = read_token(token_file)
    models = named_folders(folders)
    hold_memory()
    with listen(host, port) as sock:
        port = sock.getsockname()[1]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        note(f"loading {', '.join(models)} …")
        service = Service(models, options)
        run(
            service,
            sock,
            token=token,
            ready=lambda: _tell(address, service, guarded=token is not None),
        )


def _tell(address: str, service: "Service", *, guarded: bool) -> None:
    """Where the models are and how they are asked."""
    from urllib.parse import quote

    console = stdout()
    console.print(f"[bold]{address}[/]", soft_wrap=True)
    for name, model in service.models.items():
        lines = [f"curl {address}/v1/models/{quote(name)}/predict"]
        if guarded:
            lines.append(f'-H "Authorization: Bearer ${_TOKEN}"')
        lines.append("-H 'Content-Type: application/json'")
        if model.reads_pictures:
            lines[0] = f"{_AS_JSON} | {lines[0]}"
            lines.append("--data-binary @-")
        else:
            lines.append("""-d '{"texts": ["Works like a charm."]}'""")
        console.print("\n" + " \\\n  ".join(lines), markup=False, soft_wrap=True)
    if not guarded and not address.startswith(("http://127.", "http://localhost", "http://[::1]")):
        note(f"Everybody who reaches this address may ask. {_TOKEN} sets a token.")
    note(f"{service.options.threads_used} threads for each model. Ctrl-C stops.")


def read_token(path: Path | None) -> str | None:
    """The token of a file or of the environment.

    Args:
        path: The file. None: the variable `TRANSFUSE_TOKEN`.

    Returns:
        The token; None where there is none.

    Raises:
        TransfuseError: If it is empty, or cannot stand in a header.
    """
    if path is None:
        where, text = _TOKEN, os.environ.get(_TOKEN)
        if text is None:
            return None
    else:
        where, text = str(path), _read(path)
    token = text.strip()
    if not token or not token.isascii() or not token.isprintable():
        what = "holds no token" if not token else "has characters that no header can carry"
        fix = "python -c 'import secrets; print(secrets.token_urlsafe())' makes one."
        raise TransfuseError(Problem(where, what, "printable ASCII characters", fix))
    return token


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or "is no text"
        raise TransfuseError(Problem(str(path), what.lower())) from None


def _check_packages() -> None:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        what = f"needs packages that are not installed: {', '.join(missing)}"
        raise TransfuseError(Problem("serve", what, fix="pip install 'transfuse[serve]'"))
