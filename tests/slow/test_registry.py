"""docs/registry.md: its commands give the released model from a folder and from an S3-compatible server on loopback."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from support import ROOT

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs/registry.md").read_text(encoding="utf-8")
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


def _commands(beginning):
    """The lines of the page's block that begins so."""
    (block,) = [text for text in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) if text.startswith(beginning)]
    return block


@pytest.fixture
def shell(tmp_path):
    """A function: run lines in bash, in a folder, as a user without settings of his own."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/dvc").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dvc "$@"\n')
    (tmp_path / "bin/dvc").chmod(0o755)
    (tmp_path / ".gitconfig").write_text("[user]\nname = A\nemail = a@example.org\n[init]\ndefaultBranch = main\n")
    others = {key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "GIT_", "AWS_"))}
    env = others | {"HOME": str(tmp_path), "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(tmp_path / "site")}

    def run(lines, folder, **more):
        path = f"{tmp_path / 'bin'}{os.pathsep}{env['PATH']}"
        done = subprocess.run(
            ["bash", "-ec", lines],
            cwd=folder,
            env=env | {"PATH": path} | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run


@pytest.fixture
def project(tmp_path, shell):
    """A clone with these artifacts, two models and a card, and the repository that it pushes to."""
    folder = tmp_path / "project"
    (folder / "models").mkdir(parents=True)
    (folder / "metrics/cards").mkdir(parents=True)
    artifacts = YAML(typ="safe").load(ROOT / "dvc.yaml")["artifacts"]
    with (folder / "dvc.yaml").open("w") as file:
        YAML().dump({"artifacts": artifacts}, file)
    (folder / "params.yaml").write_text("release: student-gen3\n")
    (folder / "metrics/cards/student-gen3.md").write_text("the card")
    for key in ("gen1", "gen3"):
        (folder / f"models/student-{key}.keras").write_text(f"weights of {key}")
    shell("git init -q && dvc init -q && dvc add -q models/*.keras && git add -A && git commit -qm first", folder)
    shell(f"git init -q --bare '{tmp_path}/origin' && git remote add origin '{tmp_path}/origin'", folder)
    shell("git push -qu origin main", folder)
    return folder


def _release_and_fetch(project, shell, **keys):
    """Release and fetch by the page's lines; the files that came."""
    origin, elsewhere = project.parent / "origin", project.parent / "elsewhere"
    elsewhere.mkdir()
    shell(_commands("dvc push"), project, **keys)
    shell(_commands("dvc artifacts get REPOSITORY student   ").replace("REPOSITORY", str(origin)), elsewhere, **keys)
    (project.parent / "clone").mkdir()
    shell(f"git clone -q '{origin}' . && dvc pull && dvc status", project.parent / "clone", **keys)
    assert (project.parent / "clone/models/student-gen1.keras").read_text() == "weights of gen1"
    return {path.name: path.read_text() for path in elsewhere.iterdir()}


FETCHED = {
    "student-gen3.keras": "weights of gen3",
    "model.keras": "weights of gen3",
    "student-gen1.keras": "weights of gen1",
    "student-gen3.md": "the card",
}


def test_a_folder(project, shell, tmp_path):
    shell(_commands("dvc remote add -d store /mnt").replace("/mnt/shared", str(tmp_path / "shared")), project)
    assert _release_and_fetch(project, shell) == FETCHED
    assert len(list((tmp_path / "shared/noisy-student/files/md5").rglob("??*"))) >= 2


def test_an_s3_server(project, shell):
    pytest.importorskip("dvc_s3", reason="dvc-s3 is not installed: requirements-dev.txt")
    moto = pytest.importorskip("moto.server", reason="moto[server] is not installed: requirements-dev.txt")
    import boto3

    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        client = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
        )
        client.create_bucket(Bucket="bucket")
        lines = _commands("pip install dvc-s3").replace("pip install dvc-s3\n", "").replace("BUCKET", "bucket")
        shell(lines.replace("https://s3.example.org", url), project)
        assert _release_and_fetch(project, shell, **KEYS) == FETCHED
        stored = client.list_objects_v2(Bucket="bucket")["Contents"]
        assert len(stored) == 2
        assert all(entry["Key"].startswith("noisy-student/files/md5/") for entry in stored)
    finally:
        server.stop()


def test_no_key_is_in_what_git_keeps(project):
    assert "AWS" not in Path(project / ".dvc/config").read_text()
