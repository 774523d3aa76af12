#!/usr/bin/env bash
# fsspec 2026.9.0 (aiohttp 3.14.5): the environment's proxies are not used.
#
# Guess before the run: behind a proxy fsspec reads http:// by the variables http_proxy and https_proxy, as urllib, pip,
# curl and s3fs' botocore do.
# Seen: it looks for the host itself ("Cannot connect to host"); aiohttp reads the variables only where it is told to,
# client_kwargs={"trust_env": True}.
# For us: `sources/remote.py` tells it to.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check fsspec==2026.9.0 aiohttp==3.14.5
"$folder/venv/bin/python" - <<'PYTHON'
import http.server
import os
import sys
import threading
import urllib.request

import fsspec


class Proxy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "9")
        self.end_headers()
        self.wfile.write(b"the proxy")

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
threading.Thread(target=server.serve_forever, daemon=True).start()
for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
    os.environ.pop(name, None)
os.environ["http_proxy"] = f"http://127.0.0.1:{server.server_port}"
URL = "http://elsewhere.invalid/a"


def by_fsspec(**options):
    try:
        return fsspec.filesystem("http", skip_instance_cache=True, **options).cat(URL)
    except Exception as error:
        return type(error).__name__


seen = {
    "urllib": urllib.request.urlopen(URL).read(),
    "fsspec": by_fsspec(),
    "fsspec, trust_env": by_fsspec(client_kwargs={"trust_env": True}),
}
print(f"fsspec {fsspec.__version__}:", *(f"\n  {how}: {what!r}" for how, what in seen.items()))
expected = {"urllib": b"the proxy", "fsspec": "ClientConnectorDNSError", "fsspec, trust_env": b"the proxy"}
sys.exit(0 if seen == expected else 1)
PYTHON
