#!/usr/bin/env bash
# fsspec 2026.9.0 (aiohttp 3.14.5): by HTTP everything that goes wrong is "no such file".
#
# Guess before the run: `info` and `open` of a URL raise FileNotFoundError for 404, PermissionError (or the status) for
# 403, something of aiohttp's for 503, and an OSError of the network where nobody listens.
# Seen: FileNotFoundError with nothing but the URL each time, also for a server that is busy (503) or not there. What it
# really was is the exception's __cause__.
# For us: `sources/remote.py` looks at the cause, so that a busy server is asked again and a forbidden file is named as one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check fsspec==2026.9.0 aiohttp==3.14.5
"$folder/venv/bin/python" - <<'PYTHON'
import http.server
import sys
import threading

import aiohttp
import fsspec


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(int(self.path.strip("/")))

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
base = f"http://127.0.0.1:{server.server_port}"
seen = {}
for what, url in [(code, f"{base}/{code}") for code in (403, 404, 503)] + [("nobody", "http://127.0.0.1:9/a")]:
    try:
        fsspec.open(url).open()
    except Exception as error:
        cause = error.__cause__
        seen[what] = type(error).__name__, getattr(cause, "status", type(cause).__name__)
        print(f"fsspec {fsspec.__version__}, aiohttp {aiohttp.__version__}: {what}: {error!r}; cause: {seen[what][1]}")
expected = {what: ("FileNotFoundError", what) for what in (403, 404, 503)}
sys.exit(0 if seen == expected | {"nobody": ("FileNotFoundError", "ClientConnectorError")} else 1)
PYTHON
