"""Downloads from a real server on this machine: resume, ignored ranges, damage, no answer."""

import hashlib
import socket
import threading
import time
from types import SimpleNamespace

import pytest

from noisy_student.runtime import locks
from noisy_student.runtime.errors import DataError, DownloadError
from noisy_student.sources import download
from noisy_student.sources.download import downloads_dir, fetch, locate

CONTENT = bytes(range(256)) * 4000  # about 1 MB, several chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def path(tmp_path, server):
    server.files["file.bin"] = CONTENT
    return tmp_path / "new" / "file.bin"


def get(server, path, sha256=SHA256):
    return fetch(f"{server.url}/file.bin", path=path, sha256=sha256)


def part(path, content):
    path.parent.mkdir()
    path.with_name("file.bin.part").write_bytes(content)


def assert_only_the_file(path):
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["file.bin"]


def test_download(server, path):
    assert get(server, path) == path
    assert_only_the_file(path)
    assert server.requests == [("file.bin", None)]


def test_resume_asks_only_for_the_rest(server, path):
    part(path, CONTENT[:700_000])
    get(server, path)
    assert_only_the_file(path)
    assert server.requests == [("file.bin", "bytes=700000-")]
    assert server.sent == len(CONTENT) - 700_000


def test_ignored_range_starts_again(server, path):
    server.ranges = False
    part(path, b"x" * 1000)
    get(server, path)
    assert_only_the_file(path)


def test_answer_with_another_range_starts_again(server, path):
    server.block = 1000
    part(path, CONTENT[:700_500])
    get(server, path)
    assert_only_the_file(path)
    assert [asked for _, asked in server.requests] == ["bytes=700500-", None]


def test_complete_part_needs_no_second_transfer(server, path):
    part(path, CONTENT)
    get(server, path)  # the server answers 416
    assert_only_the_file(path)
    assert server.sent == 0


def test_part_longer_than_the_file_is_replaced(server, path):
    part(path, b"x" * (len(CONTENT) + 1))
    get(server, path)
    assert_only_the_file(path)


def test_cut_connections_are_resumed(server, path):
    server.cuts = [300_000, 400_000]
    get(server, path)
    assert_only_the_file(path)
    assert [asked for _, asked in server.requests] == [None, "bytes=300000-", "bytes=700000-"]


def test_connection_cut_every_time(server, path):
    server.cuts = [1000] * download.ATTEMPTS
    with pytest.raises(DownloadError, match=r"cut after 4,000 of 1,024,000 bytes.*data\.root"):
        get(server, path)
    assert not path.exists()
    assert path.with_name("file.bin.part").read_bytes() == CONTENT[:4000]  # for the next run
    get(server, path)
    assert_only_the_file(path)


def test_server_error_that_passes(server, path):
    server.statuses = [503, 500]
    get(server, path)
    assert_only_the_file(path)


def test_garbled_answer_that_passes(server, path):
    server.garbled = 1
    get(server, path)
    assert_only_the_file(path)


def test_garbled_answer_every_time(server, path):
    server.garbled = download.ATTEMPTS
    with pytest.raises(DownloadError, match="broken answer"):
        get(server, path)


def test_not_found_is_not_retried(server, path):
    del server.files["file.bin"]
    with pytest.raises(DownloadError, match=r"404.*get file\.bin in another way and put it under data\.root"):
        get(server, path)
    assert len(server.requests) == 1


def test_wrong_hash_removes_the_file(server, path):
    with pytest.raises(DownloadError) as caught:
        get(server, path, sha256="0" * 64)
    for said in ("0" * 64, SHA256, "data.root", "data.sha256"):
        assert said in str(caught.value)
    assert list(path.parent.iterdir()) == []


def test_no_server(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/file.bin"
        with pytest.raises(DownloadError, match=r"refused.*put it under data\.root"):
            fetch(url, path=tmp_path / "file.bin", sha256=SHA256)


def test_silent_server_times_out(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/file.bin"
        with pytest.raises(DownloadError, match="timed out"):
            fetch(url, path=tmp_path / "file.bin", sha256=SHA256, timeout=0.1)
        silent.setblocking(False)
        for _ in range(download.ATTEMPTS):  # so often it was asked, and not once more
            silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_folder_that_cannot_be_made(server, path, tmp_path):
    (tmp_path / "new").write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match=r"cannot be downloaded to .*file\.bin"):
        get(server, path)


@pytest.fixture
def find(server, path, tmp_path, monkeypatch):
    """Call `locate` for file.bin with the repository and `data.root` in `tmp_path`."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "repository"))
    return lambda: locate("file.bin", url=f"{server.url}/file.bin", root=tmp_path / "root", sha256=SHA256)


def test_locate_downloads_once_and_outside_root(find, server, tmp_path):
    kept = tmp_path / "repository" / "data/prepared/downloads" / "file.bin"
    assert find() == kept
    assert find() == kept
    assert len(server.requests) == 1
    assert not (tmp_path / "root").exists()


def test_locate_fetches_again_what_was_damaged(find, server):
    find().write_bytes(b"damaged")
    assert find().read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_locate_prefers_the_users_file(find, server, tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "file.bin").write_bytes(CONTENT)
    assert find() == tmp_path / "root" / "file.bin"
    assert server.requests == []


def test_locate_refuses_a_users_file_with_another_hash(find, server, tmp_path):
    own = tmp_path / "root" / "file.bin"
    own.parent.mkdir()
    own.write_bytes(CONTENT[:-1])  # truncated
    with pytest.raises(DataError) as caught:
        find()
    for said in (str(own), SHA256, hashlib.sha256(CONTENT[:-1]).hexdigest(), "data.sha256"):
        assert said in str(caught.value)
    assert server.requests == []
    assert own.exists()


def test_locate_names_a_folder_in_the_files_place(find, tmp_path):
    (tmp_path / "root" / "file.bin").mkdir(parents=True)
    with pytest.raises(DataError, match=r"file\.bin: cannot be read"):
        find()


def test_downloads_dir_without_dvc(monkeypatch, tmp_path):
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert downloads_dir().resolve() == tmp_path / "data/prepared/downloads"


def test_a_server_that_sends_less_than_the_rest_is_asked_again(server, path):
    server.most = 400_000
    part(path, CONTENT[:200_000])
    get(server, path)
    assert_only_the_file(path)
    assert [asked for _, asked in server.requests] == ["bytes=200000-", "bytes=600000-", "bytes=1000000-"]


def test_lengths_by_hand():
    def total(status, present, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return download._total(SimpleNamespace(status=status, headers=named), present)

    assert total(206, 10, Content_Range="bytes 10-19/100", Content_Length="10") == 100
    assert total(206, 10, Content_Range="bytes 10-19/*", Content_Length="10") == 20
    assert total(200, 0, Content_Length="30") == 30
    assert total(200, 0, Content_Length="abc") is None
    assert total(200, 0) is None


def test_two_processes_download_once(server, path, tmp_path, monkeypatch, capfd):
    """The one that comes second waits, and takes what the first has made."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    path = downloads_dir() / "file.bin"
    found = []

    def second():
        found.append(locate("file.bin", url=f"{server.url}/file.bin", root=tmp_path / "none", sha256=SHA256))

    thread = threading.Thread(target=second)
    with locks.held(path.with_name(".file.bin.lock"), what="the first"):
        thread.start()
        said, end = "", time.monotonic() + 60
        while "the download of file.bin: already at work" not in said and time.monotonic() < end:
            said += capfd.readouterr().err
        path.write_bytes(CONTENT)
    thread.join()
    assert (found, server.requests) == ([path], [])
    path.unlink()
    second()
    assert path.read_bytes() == CONTENT
    assert len(server.requests) == 1
