"""The files of docs/examples are what Ray, KubeRay and Slurm read; their versions are those of the lock."""

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from support import ROOT

EXAMPLES = ROOT / "docs/examples"
ON_RAY = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
# of the RayCluster of ray.io/v1 (https://ray-project.github.io/kuberay/reference/api/), and of Kubernetes' own
CLUSTER = {
    "rayVersion",
    "headGroupSpec",
    "workerGroupSpecs",
    "enableInTreeAutoscaling",
    "autoscalerOptions",
    "authOptions",
}
HEAD = {"rayStartParams", "template", "serviceType", "enableIngress", "headService"}
GROUP = {"groupName", "replicas", "minReplicas", "maxReplicas", "numOfHosts", "rayStartParams", "template", "suspend"}
POD = {"containers", "volumes", "nodeSelector", "tolerations", "affinity", "initContainers"}
CONTAINER = {"name", "image", "workingDir", "env", "resources", "volumeMounts", "command", "args", "ports"}


def _read(name):
    return YAML(typ="safe", pure=True).load((EXAMPLES / name).read_text(encoding="utf-8"))


@ON_RAY
def test_ray_takes_the_cluster_of_machines():
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(_read("cluster.yaml"))
    validate_config(config)
    (kind,) = config["available_node_types"]
    assert config["available_node_types"][kind]["max_workers"] == len(config["provider"]["worker_ips"]) == 2
    with pytest.raises(Exception, match="wrokers"):
        validate_config(prepare_config(_read("cluster.yaml") | {"wrokers": 2}))


@ON_RAY
@pytest.mark.parametrize("name", ["cluster.yaml", "ray.sbatch"])
def test_ray_has_the_options_of_the_commands(name):
    """Each `--option` of a `ray` command in the file stands in that command's help."""
    text = (EXAMPLES / name).read_text(encoding="utf-8").replace("$(", " ")
    found = re.findall(r"\bray (start|symmetric-run)\b([^;\n]*)", text)
    assert found
    for command, rest in found:
        options = {word.partition("=")[0] for word in shlex.split(rest.partition(" -- ")[0]) if word.startswith("--")}
        ray = Path(sys.executable).with_name("ray")
        known = subprocess.run([ray, command, "--help"], capture_output=True, text=True, check=True).stdout
        assert [option for option in options if option not in known] == []


def test_kuberay_has_the_fields():
    cluster = _read("kuberay.yaml")
    assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
    spec = cluster["spec"]
    assert spec.keys() <= CLUSTER
    assert spec["headGroupSpec"].keys() <= HEAD
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())  # the schema wants texts
        pod = group["template"]["spec"]
        assert pod.keys() <= POD
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert container.keys() <= CONTAINER
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
            assert all(isinstance(variable["value"], str) for variable in container["env"])
            assert container["resources"]["requests"] == container["resources"]["limits"]
    for group in spec["workerGroupSpecs"]:
        assert group.keys() <= GROUP
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_every_cluster_wants_a_token():
    """Whoever reaches the port of one that does not can run code on it; and all nodes want the same."""
    assert _read("kuberay.yaml")["spec"]["authOptions"] == {"mode": "token"}
    config = _read("cluster.yaml")
    for command in (*config["head_start_ray_commands"], *config["worker_start_ray_commands"]):
        assert command.index("RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=") < command.index("ray start")
    assert (
        "export RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=token RAY_AUTH_TOKEN\n" in (EXAMPLES / "ray.sbatch").read_text()
    )


def test_the_version_of_ray_is_that_of_the_lock():
    (locked,) = re.findall(r"^ray==(\S+)", (ROOT / "requirements-ray.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert _read("kuberay.yaml")["spec"]["rayVersion"] == locked


def test_the_script_for_slurm_is_one():
    script = EXAMPLES / "ray.sbatch"
    subprocess.run(["bash", "-n", script], check=True)
    lines = script.read_text(encoding="utf-8").splitlines()
    options = [line.split()[1] for line in lines if line.startswith("#SBATCH ")]
    assert {option.partition("=")[0] for option in options} >= {"--nodes", "--ntasks-per-node", "--time"}
    last_option = max(number for number, line in enumerate(lines) if line.startswith("#SBATCH"))
    first_command = min(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    assert last_option < first_command  # Slurm stops to look for options there
