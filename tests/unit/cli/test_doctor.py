"""zoo-doctor tells what is there, and a command for what is not."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from zoo.cli import checks
from zoo.cli.doctor import main


def findings(capsys) -> dict[str, dict]:
    code = main(["--json"])
    found = {c["name"]: c for c in json.loads(capsys.readouterr().out)}
    assert code == int(any(c["status"] == "broken" for c in found.values()))
    return found


def test_this_installation_is_sound_and_described(capsys):
    found = findings(capsys)
    assert not [c for c in found.values() if c["status"] == "broken"]
    assert {"python", "torch", "triton", "parts", "HF_HOME", *checks.OPTIONAL} <= found.keys()
    assert any(name.startswith("device") for name in found) and any(name.startswith("op ") for name in found)


def test_whatever_is_not_ok_has_a_command(capsys):
    assert all(c["fix"] for c in findings(capsys).values() if c["status"] in ("warn", "broken"))


def test_a_missing_requirement_is_broken_and_an_option_is_not(capsys, monkeypatch):
    monkeypatch.setattr(checks, "installed", lambda name: None if name in ("timm", "diffusers") else "1.0")
    found = findings(capsys)
    assert found["timm"]["status"] == "broken" and found["timm"]["fix"] == "pip install timm"
    assert found["diffusers"]["status"] == "absent"


def test_a_subject_that_fails_is_a_finding(capsys, monkeypatch):
    def operators():
        raise RuntimeError("driver too old")
        yield

    monkeypatch.setattr(checks, "SUBJECTS", (operators,))
    found = findings(capsys)
    assert found["operators"]["status"] == "broken" and "driver too old" in found["operators"]["detail"]


def test_a_cache_that_cannot_be_written_is_said(capsys, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "file/cache"))
    found = findings(capsys)
    assert found["HF_HOME"]["status"] == "warn" and "export HF_HOME=" in found["HF_HOME"]["fix"]


def test_a_pipe_gets_plain_lines(capsys):
    main([])
    text = capsys.readouterr().out
    assert "\x1b" not in text and any(line.split()[:2] == ["torch", "ok"] for line in text.splitlines())


def test_heavy_options_are_not_imported():
    code = """
import sys, zoo.cli.doctor as m
try: m.main([])
except SystemExit: pass
print("imported", sorted({"diffusers", "tensorboard", "mamba_ssm", "wandb"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "imported []", done.stdout + done.stderr


@pytest.mark.parametrize("module", ["doctor", "sample"])
def test_help_needs_no_torch(module):
    code = f"""
import sys, zoo.cli.{module} as m
try: m.main(['--help'])
except SystemExit: sys.exit('torch' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "examples:" in done.stdout
