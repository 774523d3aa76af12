"""Small real data sets on disk, and a real HTTP server that can misbehave."""

import hashlib
import http.server
import io
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noisy_student.data.images import try_image
from noisy_student.settings.schema import HELD_BACK, DataParams

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.fixture
def data_params():
    """Make `DataParams` from the digits' values and some of the test's own."""

    def make(**values):
        common = {
            "source": "digits",
            "root": "nowhere",
            "seed": 0,
            "image_size": 8,
            "resize": "squash",
            "store": "arrays",
            "encoding": "png",
            "labelled": 20,
            "validation": 20,
            "unlabelled": None,
            "unlabelled_from": HELD_BACK,
            "test": 20,
            "sha256": None,
        }
        return DataParams(**{**common, **values})

    return make


@pytest.fixture
def random_images():
    """Make N different random images and labels 0..9 in turn."""

    def make(count, *, size=32, seed=0):
        images = np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)
        return images, np.arange(count) % 10

    return make


@pytest.fixture
def write_tree():
    """Write images as PNG files `root/split/<class>/<row>.png`, in the given order of rows."""

    def write(root, split, images, labels, *, order=None):
        for row in range(len(images)) if order is None else order:
            path = Path(root, split, CIFAR10[labels[row]], f"{row:04}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[row]).save(path)

    return write


@pytest.fixture
def write_cifar10():
    """Write an archive in the layout of the binary version; return its SHA-256."""

    def write(root, train, test, *, meta=CIFAR10, skip=(), change=None):
        rows = np.array_split(np.arange(len(train[0])), 5)
        members = {f"data_batch_{k + 1}.bin": _records(train[0][r], train[1][r]) for k, r in enumerate(rows)}
        members["test_batch.bin"] = _records(*test)
        members["batches.meta.txt"] = ("\n".join(meta) + "\n\n").encode()
        members.update(change or {})
        path = Path(root, "cifar-10-binary.tar.gz")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w:gz") as tar:
            for name, content in members.items():
                if name not in skip:
                    info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
        return hashlib.sha256(path.read_bytes()).hexdigest()

    return write


def _records(images, labels):
    """Each record by hand: the label byte, then all red, all green, all blue bytes row by row."""
    return b"".join(
        bytes([label]) + image[:, :, 0].tobytes() + image[:, :, 1].tobytes() + image[:, :, 2].tobytes()
        for image, label in zip(images, labels, strict=True)
    )


class Server:
    """Files by name, how to serve them, and what was asked.

    Attributes:
        files: content by name.
        ranges: whether Range requests are honoured.
        cuts: after how many bytes each of the next answers is cut.
        most: bytes of an answer to a request for a range.
        block: ranges begin at a multiple of this, whatever was asked.
        garbled: how many of the next answers are no HTTP.
        statuses: error statuses of the next answers.
        requests: (name, Range header or None) of every request so far.
        sent: bytes of content sent so far.
    """

    def __init__(self, url):
        self.url = url
        self.files, self.ranges, self.cuts, self.statuses = {}, True, [], []
        self.block, self.garbled, self.most = 1, 0, None
        self.requests, self.sent = [], 0


@pytest.fixture
def server(monkeypatch):
    """A real HTTP server on 127.0.0.1; retries do not pause."""
    monkeypatch.setattr("noisy_student.sources.download.PAUSE", 0.0)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    listener.state = Server(f"http://127.0.0.1:{listener.server_port}")
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield listener.state
    listener.shutdown()
    thread.join()
    listener.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        state, name = self.server.state, self.path.lstrip("/")
        asked = self.headers.get("Range")
        state.requests.append((name, asked))
        if state.garbled:
            state.garbled -= 1
            return self.wfile.write(b"no HTTP at all\r\n\r\n")
        if state.statuses or name not in state.files:
            return self.send_error(state.statuses.pop(0) if state.statuses else 404)
        content = state.files[name]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and state.ranges else 0
        start -= start % state.block
        if start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        body = content[start:][: state.most if start else None]
        if start:
            self.send_header("Content-Range", f"bytes {start}-{start + len(body) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        body = body[: state.cuts.pop(0)] if state.cuts else body
        state.sent += len(body)  # before the client can see the end
        self.wfile.write(body)
        return None

    def log_message(self, *_):
        """Keep the test's output quiet."""


class Stop(Exception):
    """Ends a reading in the middle."""


@pytest.fixture
def count_files(monkeypatch):
    """Replace a module's `try_image` by one that notes what it reads, up to a number of files."""

    def count(module, stop_after=None):
        seen = []

        def counted(path, **options):
            if len(seen) == stop_after:
                raise Stop
            seen.append(path.name)
            return try_image(path, **options)

        monkeypatch.setattr(module, "try_image", counted)
        return seen

    count.stop = Stop
    return count
