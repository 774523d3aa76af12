"""A pool as a list of .tar files and images: the splits are those of the same images in a folder, to the byte."""

import contextlib
import ftplib
import functools
import hashlib
import http.server
import importlib.util
import io
import json
import os
import socket
import subprocess
import tarfile
import threading
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisy_student.executors.running import ShardError
from noisy_student.runtime.errors import DataError, UserError
from noisy_student.settings.schema import DataParams
from noisy_student.sources import listed_pool, reading_tasks, remote
from noisy_student.sources.listed import expanded, read_list
from noisy_student.sources.prepare import prepare
from noisy_student.sources.staging import remembering_reader

NO_RAY = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
RAY = [pytest.param("name=ray,workers=2", marks=[pytest.mark.slow, NO_RAY], id="ray")]
LETTERS = ("p-{a..d}.tar", "{D..A}", "{a..g..3}", "{z..x}{1..2}", "{a..}", "{a..1}")
LINES = ("a{000..003}.tar", "{08..11}", "{3..1}", "{a,b,c}-{1..2}.tar", "{x}", "plain", "{-1..1}", "{1..9..4}", "{,b}c")


@pytest.mark.parametrize("line", LINES + LETTERS)
def test_braces_are_those_of_bash(line):
    bash = subprocess.run(["bash", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True)
    assert expanded(line) == bash.stdout.splitlines()


def test_too_many_names_are_refused_before_they_are_made():
    with pytest.raises(DataError, match="more than 10,000,000 names"):
        expanded("{0..99999999999}/{0..9}.tar")
    with pytest.raises(DataError, match="more than 10,000,000 names"):
        expanded("{-999999999999999999..999999999999999999}.tar")
    assert expanded(text := f"{{0..{'9' * 5000}}}.tar") == [text]  # no number: Python reads none of so many digits


@pytest.fixture
def images():
    """40 images, each of its own; as (file name, PNG)."""
    rng, found = np.random.default_rng(5), {}
    for row in range(40):
        data = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (11, 9, 3), np.uint8)).save(data, "png")
        found[f"{row:06d}.png"] = data.getvalue()
    return found


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(listed_pool, "PAUSE", 0.0)
    for variable in ("DVC_ROOT", "DVC_STAGE", "EXECUTOR"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def tar_of(files):
    """As WebDataset has it: beside each image its class, and what else is known of it."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in files.items():
            stem = name.rpartition(".")[0]
            others = {f"{stem}.cls": b"3", f"{stem}.json": b'{"a": 1}', f"{stem}.txt": b"an image", f"._{name}": b"Mac"}
            for member, inner in {name: content, **others}.items():
                info = tarfile.TarInfo(member)
                info.size = len(inner)
                archive.addfile(info, io.BytesIO(inner))
    return data.getvalue()


def halves(images):
    """Two .tar files of them."""
    items = list(images.items())
    return {"p-000.tar": tar_of(dict(items[:25])), "p-001.tar": tar_of(dict(items[25:]))}


def parameters(pool, **more):
    common = {"image_size": 8, "labelled": 20, "validation": 20, "test": 20, "unlabelled_from": str(pool)}
    return DataParams(**common | more)


def digests(folder):
    """Of all that `prepare` has written, but for where it says that the images come from."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "splits.json"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


@pytest.fixture
def expected(project, images):
    """A function: the digests of the splits with these images in a folder as the pool."""

    def of(**more):
        for name, content in images.items():
            path = project / "folder" / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        prepare(parameters("folder", **more), project / "expected")
        return digests(project / "expected")

    return of


def prepared(data, out="out"):
    """As the stage does it."""
    with remembering_reader(data, every_minutes=5.0) as read:
        metrics = prepare(data, Path(out), read=read)
    return metrics, read


@pytest.mark.parametrize("more", [{}, {"store": "shards"}], ids=["arrays", "shards"])
@pytest.mark.parametrize("executor", ["workers=1", "workers=2", *RAY])
def test_local_tars(project, images, expected, monkeypatch, more, executor):
    (project / "tars").mkdir()
    for name, content in halves(images).items():
        (project / "tars" / name).write_bytes(content)
    (project / "tars/pool.txt").write_text("# mine\n\n  p-{000..001}.tar  \n")
    monkeypatch.setenv("EXECUTOR", executor)
    metrics, read = prepared(parameters("tars/pool.txt", **more))
    assert (metrics["images"]["unlabelled"], metrics["unreadable"]) == (40, [])  # hidden files are no images
    assert read.record["shards"] == 2
    assert digests(project / "out") == expected(**more)
    files = json.loads((project / "out/splits.json").read_text())["unlabelled"]["files"]
    sizes = [path.stat().st_size for path in sorted((project / "tars").glob("*.tar"))]
    assert [file["bytes"] for file in files] == sizes
    assert not list(project.glob("checkpoints/prepare/*"))


@pytest.mark.parametrize("options", [["-cf", "a.tar"], ["-czf", "a.tar.gz"], ["--format=gnu", "-cf", "a.tar"]])
def test_an_archive_of_gnu_tar_alone_is_a_pool(project, images, expected, options):
    whole = expected()
    subprocess.run(["tar", *options, "folder"], check=True)
    prepared(parameters(options[-1]))
    assert digests(project / "out") == whole


def test_without_a_stage_it_is_read_into_memory(project, images, expected):
    (project / "a.tar").write_bytes(tar_of(images))
    prepare(parameters("a.tar"), project / "out")
    assert digests(project / "out") == expected()


# --- by HTTP ---------------------------------------------------------------------------------------


def test_tars_by_http(project, images, expected, server):
    server.files.update(halves(images))
    (project / "pool.txt").write_text(f"{server.url}/p-{{000..001}}.tar\n")
    prepared(parameters("pool.txt"))
    assert digests(project / "out") == expected()
    assert not [path for path in project.rglob("*") if path.suffix in (".tar", ".part")]  # nothing is kept


def test_python_s_own_server_will_do(project, images, expected):
    """It answers HEAD, and takes no ranges."""
    for name, content in halves(images).items():
        (project / name).write_bytes(content)
    handler = functools.partial(_Quiet, directory=str(project))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        (project / "pool.txt").write_text(f"http://127.0.0.1:{listener.server_port}/p-{{000..001}}.tar\n")
        prepared(parameters("pool.txt"))
        listener.shutdown()
    assert digests(project / "out") == expected()
    files = json.loads((project / "out/splits.json").read_text())["unlabelled"]["files"]
    assert all("GMT" in file["etag"] for file in files)  # the only thing that this server says


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_a_server_that_stumbles_is_asked_again(project, images, expected, server):
    server.files.update(halves(images))
    (project / "pool.txt").write_text(f"{server.url}/p-{{000..001}}.tar\n")
    server.statuses, server.cuts = [503, 503], [3000]
    prepared(parameters("pool.txt"))
    assert digests(project / "out") == expected()


def test_images_by_http_and_those_that_are_gone(project, images, expected, server):
    names = list(images)
    server.files.update(images)
    signed = server.url.replace("://", "://me:secret@")
    lines = [f"{server.url}/{name}?size=full" for name in names] + [f"{signed}/gone.png?key=secret"]
    server.files.update({f"{name}?size=full": content for name, content in images.items()})
    (project / "pool.txt").write_text("\n".join(lines))
    metrics, _ = prepared(parameters("pool.txt"))
    assert metrics["unreadable"] == [
        f"{server.url}/gone.png: there is no such file. Correct the list, or upload the file."
    ]
    assert metrics["images"]["unlabelled"] == 40
    assert "secret" not in (project / "out/splits.json").read_text()
    assert digests(project / "out") == expected()


def test_what_a_url_is_signed_by_is_in_no_message(project, server):
    signed = server.url.replace("://", "://me:secret@")
    for statuses in ([404] * 9, [403] * 9, [503] * 9):
        server.statuses = statuses
        (project / "pool.txt").write_text(f"{signed}/a.tar?key=secret\n")
        with pytest.raises(DataError, match=r"/a\.tar: ") as refused:
            prepared(parameters("pool.txt"))
        assert "secret" not in str(refused.value)
    server.statuses, server.files = [], {"a.tar?key=secret": b"no tar"}
    with pytest.raises(DataError, match="truncated") as refused:
        prepared(parameters("pool.txt"))
    assert "secret" not in str(refused.value)


# --- S3 --------------------------------------------------------------------------------------------

HAS_S3 = all(importlib.util.find_spec(package) for package in ("s3fs", "moto", "flask"))
s3 = pytest.mark.skipif(not HAS_S3, reason="s3fs and moto[server] are not installed (requirements-dev.txt)")


@pytest.fixture
def bucket(monkeypatch, images):
    """A bucket `pool` with the two .tar files on a server of this machine; `forbid` lets nobody in any more."""
    import boto3
    import requests
    from moto.server import ThreadedMotoServer
    from s3fs import S3FileSystem

    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    moto.start()
    url = "http://{}:{}".format(*moto.get_host_and_port())
    values = {"AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "mine", "AWS_SECRET_ACCESS_KEY": "secret"}
    for name, value in {**values, "AWS_DEFAULT_REGION": "us-east-1", "no_proxy": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()
    client = boto3.client("s3", endpoint_url=url)
    client.create_bucket(Bucket="pool")
    for name, content in halves(images).items():
        client.put_object(Bucket="pool", Key=f"a/{name}", Body=content)
    yield url
    requests.post(f"{url}/moto-api/reset-auth", data=b"inf", timeout=10)
    moto.stop()
    S3FileSystem.clear_instance_cache()


@s3
def test_tars_in_a_bucket(project, images, expected, bucket):
    (project / "pool.txt").write_text("s3://pool/a/p-{000..001}.tar\n")
    prepared(parameters("pool.txt"))
    assert digests(project / "out") == expected()
    files = json.loads((project / "out/splits.json").read_text())["unlabelled"]["files"]
    assert [file["etag"] for file in files] == [hashlib.md5(data).hexdigest() for data in halves(images).values()]


@s3
def test_a_bucket_without_rights(project, bucket):
    import requests

    requests.post(f"{bucket}/moto-api/reset-auth", data=b"0", timeout=10)  # from now on keys are looked at
    (project / "pool.txt").write_text("s3://pool/a/p-000.tar\n")
    with pytest.raises(DataError, match=r"pool\.txt, line 1: s3://pool/a/p-000\.tar: may not be read .*AWS_PROFILE"):
        prepared(parameters("pool.txt"))
    assert not (project / "out").exists()


@s3
@pytest.mark.parametrize("name", ["s3://pool/a/p-002.tar", "s3://nobody/a.tar"])
def test_what_is_in_no_bucket(project, bucket, name):
    (project / "pool.txt").write_text(f"{name}\n")
    with pytest.raises(DataError, match=f"line 1: {name}: there is no such file"):
        prepared(parameters("pool.txt"))


GCS = [name for name in ("gcsfs", "gcp_storage_emulator") if importlib.util.find_spec(name) is None]


@pytest.mark.skipif(bool(GCS), reason=f"not installed: {', '.join(GCS)} (pip install gcsfs gcp-storage-emulator)")
def test_tars_in_a_bucket_of_google_s(project, images, expected, monkeypatch):
    from gcp_storage_emulator.server import create_server
    from gcsfs import GCSFileSystem

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server, url = create_server("127.0.0.1", port, in_memory=True, default_bucket="pool"), f"http://127.0.0.1:{port}"
    for name, value in {"STORAGE_EMULATOR_HOST": url, "FSSPEC_GS_TOKEN": "anon", "no_proxy": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    server.start()
    try:
        GCSFileSystem.clear_instance_cache()
        for name, content in halves(images).items():
            asked = f"{url}/upload/storage/v1/b/pool/o?uploadType=media&name=a/{name}"
            urllib.request.urlopen(urllib.request.Request(asked, content, method="POST"), timeout=10).close()
        (project / "pool.txt").write_text("gs://pool/a/p-{000..001}.tar\n")
        prepared(parameters("pool.txt"))
        assert digests(project / "out") == expected()
        (project / "pool.txt").write_text("gs://pool/a/p-002.tar\n")
        with pytest.raises(DataError, match=r"line 1: gs://pool/a/p-002\.tar: there is no such file"):
            prepared(parameters("pool.txt"))
    finally:
        server.stop()
        GCSFileSystem.clear_instance_cache()


# --- mistakes --------------------------------------------------------------------------------------

ONE = 1024 + 512  # bytes of a small member with its header


def _cut(at):
    return lambda images: tar_of(images)[:at]


LISTS = {
    "an empty list": (
        b"# nothing\n\n",
        r"pool\.txt: names no file\. data\.unlabelled_from takes a folder, or a text file",
    ),
    "no text": (b"\x89PNG\r\n\x1a\n\0\0", "no text in UTF-8"),
    "zeros": (b"a\0b", "no text"),
    "a path that leads nowhere": (b"\nnone.tar\n", r"pool\.txt, line 2: none\.tar: no such file \(paths are relative"),
    "an unknown protocol": (b"ftq://host/a.tar", "line 1: ftq://host/a.tar: unknown protocol ftq://"),
    "a program": (b"pipe:curl -s http://x/a.tar", "commands are not run"),
    "a file twice": (b"a.tar\na.tar", "line 2: a.tar is there already, in line 1"),
    "a file by two names": (b"a.tar\nsub/../a.tar", r"line 2: sub/\.\./a\.tar is there already, in line 1"),
    "a name that is too long": (b"\n" + b"x" * 5000, "line 2: x+: no such file"),
    "a port that is none": (
        b"http://me:secret@host:99999/a.tar",
        r"line 1: http://host:99999/a\.tar: not a URL \(Port",
    ),
    "half an address": (b"http://me:secret@[::1/a.tar", r"line 1: http://\.\.\.: not a URL \(Invalid IPv6"),
    "a URL without a host": (b"\nhttp://", r"line 2: http://: not a URL \(no host"),
    "a URL without a bucket": (b"s3:///a.tar", r"line 1: s3:///a\.tar: not a URL \(no host, or no bucket"),
    "a package that is missing": (b"dropbox://a/b.tar", "needs another Python package"),
}


@pytest.mark.parametrize("case", LISTS)
def test_lists_that_cannot_be_meant(project, images, case):
    content, words = LISTS[case]
    (project / "a.tar").write_bytes(tar_of(images))
    (project / "sub").mkdir()
    (project / "pool.txt").write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_list(Path("pool.txt"))


def test_what_may_not_be_read_is_said_before_anything_is(project, images, monkeypatch):
    (project / "a.tar").write_bytes(tar_of(images))
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("a.tar"))  # root may read all
    with pytest.raises(DataError, match=r"a\.tar: may not be read\. Correct its permissions"):
        remote.known("a.tar")


TARS = {
    "cut between two members": _cut(10 * 512 * 6),
    "cut in a header": _cut(100),
    "an empty file": _cut(0),
    "a page": lambda images: b"<html>not found</html>" * 1000,
    "cut and compressed": lambda images: __import__("gzip").compress(tar_of(images))[:-3000],
}


@pytest.mark.parametrize("case", TARS)
def test_archives_that_are_not_whole(project, images, case):
    (project / "a.tar").write_bytes(TARS[case](images))
    with pytest.raises(DataError, match=r"a\.tar: truncated, or no \.tar archive \(.*\)\. Copy it anew"):
        prepared(parameters("a.tar"))
    assert not (project / "out").exists()


def test_every_cut_of_an_archive_is_seen(project, images):
    """At any byte but in the zeros at the end: `tarfile` takes many of them for the whole."""
    whole = tar_of(dict(list(images.items())[:3]))
    end = len(whole.rstrip(b"\0"))
    for at in range(0, end, 97):
        (project / "a.tar").write_bytes(whole[:at])
        with pytest.raises(DataError, match="truncated"):
            list(listed_pool._of_tar("a.tar", lambda data: data))


def test_an_archive_without_images(project):
    (project / "a.tar").write_bytes(tar_of({}))
    with pytest.raises(DataError, match=r"no image in it \(empty\)"):
        prepared(parameters("a.tar"))
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name in ("1.npy", "2.npy", "1.cls"):
            archive.addfile(tarfile.TarInfo(name))
    (project / "a.tar").write_bytes(data.getvalue())
    with pytest.raises(DataError, match=r"a\.tar: no image in it \(2 \.npy, 1 \.cls\)"):
        prepared(parameters("a.tar"))


@pytest.mark.parametrize(
    ("status", "words"), [(404, "there is no such file"), (403, "may not be read"), (503, "cannot be read.*503")]
)
def test_what_a_server_says(project, server, status, words):
    server.files["a.tar"], server.statuses = b"", [status] * 100
    (project / "pool.txt").write_text(f"\n{server.url}/a.tar\n")
    with pytest.raises(DataError, match=rf"(?s)pool\.txt, line 2: {server.url}/a\.tar: {words}"):
        prepared(parameters("pool.txt"))
    assert not (project / "out").exists()


def test_a_server_that_stumbles_each_time_is_named(project, images, server):
    server.files["a.tar"], server.cuts = tar_of(images), [3000] * 20
    (project / "pool.txt").write_text(f"{server.url}/a.tar\n")
    with pytest.raises(DataError, match=rf"^{server.url}/a\.tar: cannot be read \(.*\)\. Check the network"):
        prepared(parameters("pool.txt"))
    assert not (project / "out").exists()


@pytest.mark.parametrize("names", ["p-000.tar", "p-{000..001}.tar"])
def test_a_full_disk(project, images, monkeypatch, names):
    for name, content in halves(images).items():
        (project / name).write_bytes(content)
    (project / "pool.txt").write_text(names)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reading_tasks.TarWriter, "add", full)
    with pytest.raises(UserError, match="No space left on device") as refused:
        prepared(parameters("pool.txt"))
    assert "Traceback" not in str(refused.value)
    assert "None" not in str(refused.value)
    assert not (project / "out").exists()
    assert not list(project.rglob("*.tmp-*"))


def test_nobody_listens(project):
    (project / "pool.txt").write_text("http://127.0.0.1:9/a.tar\nhttp://127.0.0.1:9/b.tar\n")
    with pytest.raises(DataError, match=r"(?s)2 of 2 files cannot be read:\n  line 1: .*Check the network.*line 2"):
        prepared(parameters("pool.txt"))


def test_after_a_mistake_only_what_is_missing_is_read(project, images, expected, server):
    good = halves(images)
    server.files.update(good | {"p-001.tar": good["p-001.tar"][:4000]})
    (project / "pool.txt").write_text(f"{server.url}/p-{{000..001}}.tar\n")
    with pytest.raises(
        ShardError, match=r"1 of 2 shards failed, 1 are done and kept:\n  line 1 \(1 try\): .*p-001.tar: truncated"
    ):
        prepared(parameters("pool.txt"))
    assert not (project / "out").exists()
    server.files.update(good)
    before = len(server.requests)
    _, read = prepared(parameters("pool.txt"))
    assert read.record["shards_done_before"] == 1
    assert {name for name, _ in server.requests[before:]} >= {"p-001.tar"}
    assert digests(project / "out") == expected()


@pytest.mark.parametrize("bytes_left", [0, 1000])
def test_what_was_read_is_read_again_if_its_index_is_damaged(project, images, expected, bytes_left):
    """As after a power failure."""
    whole, good = expected(), halves(images)
    (project / "p-000.tar").write_bytes(good["p-000.tar"])
    (project / "p-001.tar").write_bytes(b"no tar")
    (project / "pool.txt").write_text("p-{000..001}.tar\n")
    with pytest.raises(ShardError, match="1 of 2 shards failed, 1 are done and kept"):
        prepared(parameters("pool.txt"))
    (index,) = project.rglob("facts-*.npz")
    index.write_bytes(index.read_bytes()[:bytes_left])
    (project / "p-001.tar").write_bytes(good["p-001.tar"])
    _, read = prepared(parameters("pool.txt"))
    assert read.record["shards_done_before"] == 0
    assert digests(project / "out") == whole


def test_a_file_that_has_changed_is_read_again(project, images, expected):
    good = halves(images)
    (project / "p-000.tar").write_bytes(tar_of(dict(list(images.items())[:2])))
    (project / "p-001.tar").write_bytes(b"no tar")
    (project / "pool.txt").write_text("p-{000..001}.tar\n")
    with contextlib.suppress(UserError):
        prepared(parameters("pool.txt"))
    for name, content in good.items():
        (project / name).write_bytes(content)
    prepared(parameters("pool.txt"))
    assert digests(project / "out") == expected()


def test_image_files_that_were_damaged_are_read_again(project, images, expected):
    """After a `prepare` that failed, as it keeps what was read."""
    whole = expected()
    for name, content in images.items():
        (project / name).write_bytes(content[:40])
    (project / "pool.txt").write_text("\n".join(images))
    with pytest.raises(DataError, match=r"no readable image in its files \(40 unreadable\)"):
        prepared(parameters("pool.txt"))
    for name, content in images.items():
        (project / name).write_bytes(content)
    prepared(parameters("pool.txt"))
    assert digests(project / "out") == whole


def test_an_image_file_that_has_changed_is_read_again_and_others_are_not(project, images, monkeypatch):
    names = list(images)[:3]
    for name in names:
        (project / name).write_bytes(images[name])
    (project / "pool.txt").write_text("\n".join(names))
    first = listed_pool.read_listed(project / "pool.txt", parameters("pool.txt"), project / "kept")
    (project / names[1]).write_bytes(images[names[0]] + b"more")
    again = listed_pool.read_listed(project / "pool.txt", parameters("pool.txt"), project / "kept")
    assert np.array_equal(np.stack(list(again[:])), np.stack(list(first[:]))[[0, 0, 2]])

    def read_files(output, **arguments):
        raise AssertionError(arguments)

    monkeypatch.setattr(listed_pool, "read_files", read_files)
    listed_pool.read_listed(project / "pool.txt", parameters("pool.txt"), project / "kept")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ftp://me:secret@host/a@2x.tar", "ftp://host/a@2x.tar"),
        ("sftp://me@host:22/p.tar?x=1", "sftp://host:22/p.tar?x=1"),
        ("s3://bucket/a@b.tar", "s3://bucket/a@b.tar"),
        ("HTTPS://me:secret@host/p.tar?signed=1", "https://host/p.tar"),
        ("photos/a@b.png", "photos/a@b.png"),
        ("C:\\a@b.png", "C:\\a@b.png"),
    ],
)
def test_no_login_is_shown(name, expected):
    assert remote.shown(name) == expected


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("530 Login incorrect.", r"ftp://host/p\.tar: may not be read \(530 Login incorrect\)"),
        ("550 No such file.", r"ftp://host/p\.tar: there is no such file"),
        ("421 Too many users.", r"ftp://host/p\.tar: cannot be read \(421 Too many users\)"),
    ],
)
def test_what_an_ftp_server_answers(answer, message, monkeypatch):
    def fail(url, **options):
        raise (ftplib.error_temp if answer.startswith("4") else ftplib.error_perm)(answer)

    monkeypatch.setattr(remote, "_of", fail)
    with pytest.raises((DataError, remote.PassingError), match=f"^{message}"):
        remote.known("ftp://me:secret@host/p.tar")
