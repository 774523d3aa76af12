"""Large files from the web: resumed, verified by SHA-256, never half-written."""

import http.client
import os
import re
import time
import urllib.error
import urllib.request
from pathlib import Path

from noisy_student.runtime import layout, locks
from noisy_student.runtime.errors import DataError, DownloadError
from noisy_student.runtime.files import sha256 as file_sha256
from noisy_student.runtime.progress import bar

ATTEMPTS = 4
PAUSE = 1.0  # seconds before the second attempt; doubled after each
CHUNK = 1 << 18  # bytes
RETRIED_STATUS = {408, 425, 429, 500, 502, 503, 504}  # those that may pass by themselves


def downloads_dir() -> Path:
    """Where downloads are kept: `data/prepared/downloads` below `$DVC_ROOT`, which DVC sets, or the current directory.

    `data.root` would not do: it is a dependency of the stage, which must not change while it runs.
    """
    return Path(os.environ.get("DVC_ROOT", ".")) / layout.DOWNLOADS


def locate(name: str, *, url: str, root: Path, sha256: str) -> Path:
    """Find a verified file: the user's own under `root`, else a downloaded one, else download it, see `fetch`.

    Raises:
        DataError: the user's file has another hash, or cannot be read.
    """
    own, downloaded = root / name, downloads_dir() / name
    if own.exists():
        actual = file_sha256(own)
        if actual != sha256:
            raise DataError(
                f"{own}: not the expected file, or damaged: SHA-256 expected {sha256}, found {actual}.\n"
                "Delete it, so that it is downloaded; if it is the build you want, set data.sha256 to its hash."
            )
        return own
    if _is_whole(downloaded, sha256):
        return downloaded
    try:
        with locks.held(downloaded.with_name(f".{name}.lock"), what=f"the download of {name}"):
            if _is_whole(downloaded, sha256):  # another process has made it meanwhile
                return downloaded
            return fetch(url, path=downloaded, sha256=sha256)
    except OSError as error:
        raise _not_there(url, downloaded, error) from error


def _is_whole(path, sha256):
    return path.is_file() and file_sha256(path) == sha256


def fetch(url: str, *, path: Path, sha256: str, timeout: float = 30.0) -> Path:
    """Download a file, resuming an earlier attempt, and verify it.

    Until the hash is checked the bytes stay in `path` + ".part", from where a later call resumes.

    Args:
        url: http or https; certificates are verified.
        timeout: seconds without an answer after which a connection counts as cut.

    Raises:
        DownloadError: no connection, the server refuses, the connection is cut again and again, or what
            came is another file (which is removed).
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _transfer_with_retries(url, part, sha256, timeout)
    except OSError as error:
        raise _not_there(url, path, error) from error
    actual = file_sha256(part)
    if actual != sha256:
        part.unlink()
        raise DownloadError(
            f"{url}: not the expected file: SHA-256 expected {sha256}, found {actual}; it was removed.\n"
            f"Run again; if that does not help: {_by_hand(path)} If you want another build, put it there too "
            "and set data.sha256 to its hash."
        )
    os.replace(part, path)
    return path


def _not_there(url, path, error):
    return DownloadError(f"{url}: cannot be downloaded to {path} ({error}). {_by_hand(path)}")


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


def _total(answer, present):
    """Bytes of the whole file, `present` of which are there; None if the server does not say."""
    whole = re.fullmatch(r"bytes \d+-\d+/(\d+)", answer.headers.get("Content-Range", ""))
    if answer.status == 206 and whole:  # what it sends may be less than all the rest
        return int(whole[1])
    length = answer.headers.get("Content-Length", "")
    return present + int(length) if length.isdecimal() else None


def _transfer(url, part, timeout):
    """Append to `part` what is missing; raise ConnectionError if the connection ends early."""
    present = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "noisy-student", "Accept-Encoding": "identity"}
    if present:
        headers["Range"] = f"bytes={present}-"
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout) as answer:
        if answer.status != 206:
            present = 0  # the server ignored the range and sends the whole file
        elif not re.match(rf"bytes {present}-", answer.headers.get("Content-Range", "")):
            part.unlink(missing_ok=True)
            raise ConnectionError("the server sent another range than was asked for")
        total = _total(answer, present)
        shown = bar(total=total, name=part.stem, unit="byte", initial=present)
        with part.open("ab" if present else "wb") as file, shown:
            while chunk := answer.read(CHUNK):
                file.write(chunk)
                shown.update(len(chunk))
            size = file.tell()
    if total is not None and size < total:
        raise ConnectionError(f"the connection was cut after {size:,} of {total:,} bytes")
