"""Large files from the web: resumed, verified by SHA-256, never half-written."""

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from pathlib import Path

from noisy_student.runtime.errors import DataError, DownloadError
from noisy_student.runtime.progress import bar

ATTEMPTS = 4
PAUSE = 1.0  # seconds before the second attempt; doubled after each
CHUNK = 1 << 18  # bytes
RETRIED_STATUS = {408, 425, 429, 500, 502, 503, 504}  # those that may pass by themselves


def downloads_dir():
    """Where downloads are kept: `data/downloads` of the repository.

    `data.root` would not do: it is a dependency of the stage, which must not change while it runs.

    Returns:
        Path below `$DVC_ROOT`, which DVC sets for stages, or below the current directory.
    """
    return Path(os.environ.get("DVC_ROOT", ".")) / "data" / "downloads"


def file_sha256(path):
    """SHA-256 of a file as 64 hexadecimal digits.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). Check that it is a file of yours.") from error


def locate(name, *, url, root, sha256):
    """Find a verified file: the user's own under `root`, else a downloaded one, else download it.

    Args:
        name: file name.
        url: where to download it.
        root: `data.root`.
        sha256: the expected SHA-256, 64 hexadecimal digits.

    Returns:
        Path of the file, its hash checked.

    Raises:
        DataError: the user's file has another hash.
        DownloadError: see `fetch`.
    """
    own = Path(root) / name
    if own.exists():
        found = file_sha256(own)
        if found != sha256:
            raise DataError(
                f"{own}: not the expected file, or damaged: SHA-256 expected {sha256}, found {found}.\n"
                "Delete it, so that it is downloaded; if it is the build you want, "
                "set data.sha256 to its hash."
            )
        return own
    kept = downloads_dir() / name
    if kept.is_file() and file_sha256(kept) == sha256:
        return kept
    return fetch(url, path=kept, sha256=sha256)


def fetch(url, *, path, sha256, timeout=30.0):
    """Download a file, resuming an earlier attempt, and verify it.

    Until the hash is checked the bytes stay in `path` + ".part", from where a later call resumes.

    Args:
        url: http or https; certificates are verified.
        path: where the file goes.
        sha256: the expected SHA-256, 64 hexadecimal digits.
        timeout: seconds without an answer after which a connection counts as cut.

    Returns:
        Path of the verified file.

    Raises:
        DownloadError: no connection, the server refuses, the connection is cut again and again, or what
            came is another file (which is removed).
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _transfer_with_retries(url, part, sha256, timeout)
    except OSError as error:
        raise DownloadError(f"{url}: cannot be downloaded to {path} ({error}). {_by_hand(path)}") from error
    found = file_sha256(part)
    if found != sha256:
        part.unlink()
        raise DownloadError(
            f"{url}: not the expected file: SHA-256 expected {sha256}, found {found}; it was removed.\n"
            f"Run again; if that does not help: {_by_hand(path)} If you want another build, put it there too "
            "and set data.sha256 to its hash."
        )
    os.replace(part, path)
    return path


def _by_hand(path):
    return f"Check the network and run again, or get {path.name} in another way and put it under data.root."


def _transfer_with_retries(url, part, sha256, timeout):
    for attempt in range(ATTEMPTS):
        try:
            return _transfer(url, part, timeout)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # nothing is left to send: `part` is complete, or of another file
                if file_sha256(part) == sha256:
                    return None
                part.unlink()
            elif error.code not in RETRIED_STATUS or attempt == ATTEMPTS - 1:
                raise
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if attempt == ATTEMPTS - 1:
                raise
        except http.client.HTTPException as error:
            if attempt == ATTEMPTS - 1:
                raise ConnectionError(f"broken answer, {error!r}") from error
        time.sleep(PAUSE * 2**attempt)
    raise ConnectionError("the server refuses every range of the file")


def _transfer(url, part, timeout):
    """Append to `part` what is missing; raise ConnectionError if the connection ends early."""
    start = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "noisy-student", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout) as answer:
        if answer.status != 206:
            start = 0  # the server ignored the range and sends the whole file
        elif not re.match(rf"bytes {start}-", answer.headers.get("Content-Range", "")):
            part.unlink(missing_ok=True)
            raise ConnectionError("the server sent another range than was asked for")
        length = answer.headers.get("Content-Length")
        total = None if length is None else start + int(length)
        size = _append(answer, part, start, total)
    if total is not None and size < total:
        raise ConnectionError(f"the connection was cut after {size:,} of {total:,} bytes")


def _append(answer, part, start, total):
    shown = bar(total=total, name=part.stem, unit="byte", initial=start, unit_divisor=1024)
    with part.open("ab" if start else "wb") as file, shown:
        while chunk := answer.read(CHUNK):
            file.write(chunk)
            shown.update(len(chunk))
        return file.tell()
