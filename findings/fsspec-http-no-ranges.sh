#!/usr/bin/env bash
# fsspec 2026.9.0 (aiohttp 3.14.5): a file by HTTP is read for 5 MiB, then refused, where the server has no ranges.
#
# Guess before the run: `fsspec.open` of a URL of Python's own `http.server`, which answers a request for a range with the
# whole file (as HTTP allows), falls back to one stream, for it is read from its beginning to its end.
# Seen: the first block is read; what follows raises ValueError "The HTTP server doesn't appear to support range
# requests", although nothing but `read(65536)` was called. A smaller file, or block_size=0, is read as a whole.
# For us: `sources/remote.py` reads http:// and https:// with block_size=0, as one stream.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check fsspec==2026.9.0 aiohttp==3.14.5
mkdir "$folder/files"
"$folder/venv/bin/python" - "$folder/files" <<'PYTHON'
import functools
import http.server
import os
import sys
import threading
from pathlib import Path

import fsspec


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer.handle_error = lambda *_: None  # the reader has hung up
folder, size = Path(sys.argv[1]), 20 * 2**20
(folder / "a.bin").write_bytes(os.urandom(size))
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
threading.Thread(target=server.serve_forever, daemon=True).start()


def read(**options):
    total = 0
    try:
        with fsspec.open(f"http://127.0.0.1:{server.server_port}/a.bin", **options) as file:
            while piece := file.read(65536):
                total += len(piece)
    except ValueError as error:
        return f"ValueError after {total:,} bytes: {str(error).partition('.')[0]}"
    return f"{total:,} bytes"


seen = {"as it is": read(), "block_size=0": read(block_size=0)}
print(f"fsspec {fsspec.__version__}:", *(f"\n  {how}: {what}" for how, what in seen.items()))
refused = seen["as it is"].startswith("ValueError after 5,") and "range requests" in seen["as it is"]
sys.exit(0 if refused and seen["block_size=0"] == f"{size:,} bytes" else 1)
PYTHON
