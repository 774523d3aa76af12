"""`arithmetic: portable`: what it asks of the environment, and when it is refused. tests/slow/ compares the bytes."""

import sys

import pytest

from noisy_student.runtime import arithmetic, environment
from noisy_student.runtime.errors import ParamsError
from small import stage
from support import set_params

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
