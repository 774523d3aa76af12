"""Files by URL, through fsspec: s3://, gs://, http(s):// and whatever else it knows; read as a stream, kept nowhere.

Credentials, endpoints and proxies are those of the protocol's own library: AWS_PROFILE, GOOGLE_APPLICATION_CREDENTIALS,
~/.aws, HTTPS_PROXY; or fsspec's own variables, e.g. FSSPEC_S3_ANON=1 for a public bucket.
"""

import contextlib
import ftplib
import importlib.util
import os
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from noisy_student.runtime.errors import DataError

PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp", "https": "aiohttp"}
REQUIREMENTS = "requirements/requirements-remote.in"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # two letters at least: C:\ is a drive
_BLOCK = 8 * 2**20  # bytes that are asked for at once, of protocols that have no streams
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # statuses of HTTP after which another try may help
_CONNECT, _SILENCE = 30.0, 120.0  # seconds to a connection, and without a byte


class PassingError(OSError):
    """A network or server fails that may work the next time."""


class Known(NamedTuple):
    """What is known of a file before it is read.

    Attributes:
        bytes: its size; None: the server does not say.
        etag: what changes with its content, as the server says; of a local file when it was written.
    """

    bytes: int | None
    etag: str


def is_url(name: str) -> bool:
    """Whether a name has a protocol."""
    return _URL.match(name) is not None


def shown(name: str) -> str:
    """A name for messages and records, which others may see: without a login, and without what a URL is signed by."""
    if not is_url(name):
        return name
    if not _is_http(name):
        scheme, _, rest = name.partition("://")
        host, slash, path = rest.partition("/")
        return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    scheme, host, path = name.partition("://")[0].lower(), "...", ""
    with contextlib.suppress(ValueError):  # no URL
        _, host, path, *_ = urllib.parse.urlsplit(name)
    return f"{scheme}://{host.rpartition('@')[2]}{path}"


def check_url(url: str, where: str) -> None:
    """Raise DataError, which begins with `where`, if a URL is none, or its protocol is unknown or needs a package."""
    protocol = url.partition("://")[0].lower()
    if protocol in PACKAGES:
        wrong = ""
        try:
            parts = urllib.parse.urlsplit(url)
            wrong = "" if parts.netloc else "no host, or no bucket, after ://"
            if _is_http(url):
                parts.port  # noqa: B018, fails where it is none
        except ValueError as error:
            wrong = str(error)
        if wrong:
            raise DataError(f"{where}: not a URL ({wrong}). Correct the list.")
    if importlib.util.find_spec("fsspec") is None:
        raise DataError(f"{where}: needs the Python package fsspec. Run `pip install -r {REQUIREMENTS}`.")
    import fsspec
    from fsspec.registry import known_implementations, registry

    if protocol not in known_implementations and protocol not in registry:
        raise DataError(
            f"{where}: unknown protocol {protocol}://. Known are s3://, gs://, https:// and fsspec's others."
        )
    package = PACKAGES.get(protocol)
    if package is not None and importlib.util.find_spec(package) is None:
        raise DataError(f"{where}: {protocol}:// needs the Python package {package}. Run `pip install {package}`.")
    try:
        fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        raise DataError(f"{where}: {protocol}:// needs another Python package ({error}).") from error


def known(name: str) -> Known:
    """Look at a file, without reading it.

    Raises:
        DataError: it is not there, or may not be read.
        PassingError: see there.
    """
    if not is_url(name):
        facts = os.stat(name)
        if not os.access(name, os.R_OK):
            raise DataError(f"{name}: may not be read. Correct its permissions, or the list.")
        return Known(facts.st_size, f"{facts.st_mtime_ns}")
    with _in_words(name):
        system, path = _of(name)
        facts = system.info(path)
        if facts.get("type") == "directory":
            raise DataError(
                f"{shown(name)}: a folder. Name the files in it, e.g. {shown(name).rstrip('/')}/pool-{{000..099}}.tar."
            )
        etag = next(
            (str(facts[key]) for key in ("ETag", "etag", "md5Hash", "Last-Modified", "LastModified") if facts.get(key)),
            "",
        )
        return Known(facts.get("size"), etag.strip('"'))


@contextlib.contextmanager
def opened(name: str) -> Iterator[BinaryIO]:
    """A file, to be read from its beginning to its end; errors as of `known`, also while it is read."""
    if not is_url(name):
        with Path(name).open("rb") as file:
            yield file
        return
    with _in_words(name):
        system, path = _of(name)
        blocks = 0 if _is_http(name) else _BLOCK
        with system.open(path, "rb", block_size=blocks, cache_type="readahead") as file:
            yield file


def _of(url):
    import fsspec

    options: dict[str, Any] = {}
    if _is_http(url):
        import aiohttp

        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=_CONNECT, sock_read=_SILENCE
        )  # aiohttp's: 5 min in all
        options = {"client_kwargs": {"trust_env": True, "timeout": timeout}}
    return fsspec.core.url_to_fs(url, **options)


def _is_http(url):
    return url.lower().startswith(("http://", "https://"))


@contextlib.contextmanager
def _in_words(url):
    """The errors of many libraries as two of ours; what is none of the network's passes.

    fsspec calls whatever goes wrong by HTTP "no such file" (findings/fsspec-http-not-found.sh); the cause says what it
    was.
    """
    try:
        yield
    except (DataError, PassingError):
        raise
    except Exception as error:
        real = error.__cause__ if _is_http(url) and error.__cause__ is not None else error
        reason = _reason(real)
        if reason == "missing":
            raise DataError(f"{shown(url)}: there is no such file. Correct the list, or upload the file.") from error
        if reason == "forbidden":
            raise DataError(f"{shown(url)}: may not be read ({_first(real)}). {_rights(url)}") from error
        if reason == "passing":
            raise PassingError(
                f"{shown(url)}: cannot be read ({_first(real)}). Check the network and the server."
            ) from error
        raise


def _reason(error):
    status = getattr(error, "status", None)
    if status in _PASSING:
        return "passing"
    answer = str(error)[:3] if isinstance(error, ftplib.Error) else ""  # FTP's own statuses
    if isinstance(error, FileNotFoundError) or status in (404, 410) or answer in _NO_SUCH_FILE:
        return "missing"
    if isinstance(error, PermissionError) or status in (401, 403) or type(error).__name__ in _NO_CREDENTIALS:
        return "forbidden"
    if answer.startswith("5"):
        return "forbidden"
    packages = type(error).__module__.partition(".")[0]
    network = isinstance(error, OSError | EOFError) or packages in (
        "aiohttp",
        "botocore",
        "aiobotocore",
        "gcsfs",
        "google",
        "ftplib",
        "paramiko",
    )
    return "passing" if network or isinstance(error, TimeoutError) else ""


_NO_CREDENTIALS = (
    *("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "ProfileNotFound"),
    *("AuthenticationException", "BadAuthenticationType", "PasswordRequiredException"),  # paramiko's
)
_NO_SUCH_FILE = ("550", "553")  # of FTP


def _rights(url):
    if url.lower().startswith(("s3://", "s3a://")):
        return "Give credentials that may (AWS_PROFILE, ~/.aws), or FSSPEC_S3_ANON=1 for a public bucket."
    if url.lower().startswith(("gs://", "gcs://")):
        return "Run `gcloud auth application-default login`, or set FSSPEC_GS_TOKEN=anon for a public bucket."
    return "Name a URL that needs no login, or one that is signed."


def _first(error):
    """An error in words; aiohttp's own have the whole URL in them."""
    status = getattr(error, "status", None)
    if status is not None:
        return f"{status} {getattr(error, 'message', '')}".strip()
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
