"""`arithmetic: portable`: what it asks of the environment, and when it is refused. tests/slow/ compares the bytes."""

import os
import subprocess
import sys

import pytest

from noisy_student.runtime import arithmetic, environment
from noisy_student.runtime.errors import ParamsError
from small import stage
from support import ROOT, set_params

AVX2 = {"name": "a CPU", "instructions": "avx avx2 fma"}


@pytest.fixture(autouse=True)
def _a_cpu_with_avx2(monkeypatch):
    monkeypatch.setattr(arithmetic, "cpu", lambda: AVX2)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(arithmetic.platform, "machine", lambda: "x86_64")


def test_switches_are_added_and_the_rest_stays():
    switched = arithmetic.environment({"HOME": "/home/me"})
    assert switched["HOME"] == "/home/me"
    assert switched["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    assert arithmetic.environment(switched) == switched  # so a process that has them does not start again


@pytest.mark.parametrize(
    ("name", "value"),
    [("TF_NUM_INTRAOP_THREADS", "4"), ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE"), ("XLA_FLAGS", "--xla_cpu_max_isa=AVX")],
)
def test_a_variable_that_says_otherwise_is_named(name, value):
    with pytest.raises(ParamsError, match=rf"{name}={value}.*Unset that"):
        arithmetic.environment({name: value})


@pytest.mark.parametrize("has", ["avx sse4_1", "avx avx2", ""])
def test_a_cpu_without_the_instructions_is_refused(monkeypatch, has):
    monkeypatch.setattr(arithmetic, "cpu", lambda: {"name": "old", "instructions": has})
    with pytest.raises(ParamsError, match=r"without .*fma.*Set arithmetic: fast"):
        arithmetic.environment({})


def test_other_architectures_are_refused(monkeypatch):
    monkeypatch.setattr(arithmetic.platform, "machine", lambda: "aarch64")
    with pytest.raises(ParamsError, match="this is linux aarch64"):
        arithmetic.environment({})


def test_all_switches_enter_the_record_and_the_digests():
    assert set(arithmetic.SWITCHES) <= set(environment.VARIABLES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("arithmetic: portable", True), ("arithmetic: fast # or portable", False), ("a: [", False), ("- portable", False)],
)
def test_the_wish_is_read_before_the_parameters_are(tmp_path, text, expected):
    (tmp_path / "params.yaml").write_text(text)
    assert arithmetic.wanted(str(tmp_path / "params.yaml")) is expected


def test_no_file_wishes_nothing(tmp_path):
    assert not arithmetic.wanted(str(tmp_path / "params.yaml"))


@pytest.mark.parametrize(
    ("values", "words"),
    [({"backend": "jax"}, "backend: tensorflow"), ({"precision": "mixed_bfloat16"}, "computes in float32")],
)
def test_what_cannot_be_portable_is_refused(changed, values, words):
    changed(**values)
    with pytest.raises(ParamsError, match=words):
        changed(arithmetic="portable", **values)


def test_a_stage_in_a_process_that_loaded_the_libraries_is_refused(workspace, monkeypatch, capfd):
    set_params({"arithmetic": "portable"})
    for name in set(arithmetic.SWITCHES) | set(arithmetic.UNSET):
        monkeypatch.delenv(name, raising=False)
    assert "before NumPy and TensorFlow are loaded" in stage("teacher")


def test_no_bfloat16_where_the_instructions_are_held_to_avx2(monkeypatch, tmp_path):
    from noisy_student import backends

    (tmp_path / "cpuinfo").write_text("flags\t\t: avx2 amx_bf16\n")
    monkeypatch.setattr(backends, "Path", lambda _: tmp_path / "cpuinfo")
    assert backends.cpu_has_bfloat16()
    for name, value in arithmetic.SWITCHES.items():
        monkeypatch.setenv(name, value)
    assert not backends.cpu_has_bfloat16()


@pytest.mark.parametrize(
    ("instructions", "machine", "platform", "expected"),
    [
        ("avx avx2 fma", "x86_64", "linux", True),
        ("avx avx2 avx512f avx512_bf16", "x86_64", "linux", True),  # as TensorFlow itself does
        ("avx sse4_1", "x86_64", "linux", False),
        ("asimd bf16", "aarch64", "linux", False),
        ("avx avx2", "x86_64", "darwin", False),
    ],
)
def test_onednn_is_preferred_where_it_is_faster(monkeypatch, instructions, machine, platform, expected):
    monkeypatch.setattr(arithmetic, "cpu", lambda: {"name": "a CPU", "instructions": instructions})
    monkeypatch.setattr(arithmetic.platform, "machine", lambda: machine)
    monkeypatch.setattr(sys, "platform", platform)
    assert arithmetic.prefers_onednn() is expected


@pytest.fixture
def set_up(monkeypatch):
    """Set TensorFlow's variables up as in a fresh process; the function returns the switch."""
    from noisy_student import backends

    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    monkeypatch.setattr(backends, "_chose_onednn", False)

    def set_up(*, loaded):
        monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
        if loaded:
            monkeypatch.setitem(sys.modules, "tensorflow", object())
        backends._set_up_tensorflow()
        return os.environ.get("TF_ENABLE_ONEDNN_OPTS")

    return set_up


def test_onednn_is_switched_on_before_tensorflow_is_loaded_only(set_up, monkeypatch):
    assert set_up(loaded=True) is None  # by others, with other kernels: nothing would change but the record
    assert set_up(loaded=False) == "1"
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    assert set_up(loaded=True) == "1"  # a forked stage, whose variables are the user's


def test_the_users_choice_of_kernels_stays(set_up, monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert set_up(loaded=False) == "0"
    assert set_up(loaded=True) == "0"


CONVOLUTION = """
from noisy_student import backends
backends.select("tensorflow")
import tensorflow as tf
tf.nn.conv2d(tf.ones([1, 8, 8, 3]), tf.ones([3, 3, 3, 4]), 1, "SAME")
"""


@pytest.mark.skipif(not arithmetic.prefers_onednn(), reason="oneDNN is for Linux on x86-64 with AVX2")
@pytest.mark.parametrize("given", [None, pytest.param("0", marks=pytest.mark.slow)])
def test_the_kernels_are_those_that_were_chosen(given):
    """oneDNN itself says which of its primitives run."""
    variables = {key: value for key, value in os.environ.items() if key != "TF_ENABLE_ONEDNN_OPTS"}
    variables |= {"ONEDNN_VERBOSE": "1"} | ({} if given is None else {"TF_ENABLE_ONEDNN_OPTS": given})
    run = subprocess.run([sys.executable, "-c", CONVOLUTION], cwd=ROOT, env=variables, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert (",convolution," in run.stdout) is (given is None)
