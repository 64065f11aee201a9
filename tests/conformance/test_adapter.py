"""The adapter speaks the suite's protocol; the suite itself is run from outside (see adapter)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.signing.bundles import private_pem, public_pem
from tests.signing.models import write_model

pytest.importorskip("model_signing", reason="the reference implementation signs")


def adapter(*arguments: object) -> int:
    command = [sys.executable, "-m", "tests.conformance.adapter", *map(str, arguments)]
    root = Path(__file__).parents[2]
    return subprocess.run(command, cwd=root, env={**os.environ}, check=False).returncode


def test_what_the_adapter_signs_it_verifies_and_a_change_it_refuses(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    (tmp_path / "key.pem").write_bytes(private_pem(key))
    (tmp_path / "public.pem").write_text(public_pem(key))
    model = write_model(tmp_path / "model")
    common = ("--method", "key", "--model-path", model)
    left_out = ("--ignore-paths", model / "README.md")
    signature = model / "model.sig"
    sign = ("--output-bundle", signature, "--private-key", tmp_path / "key.pem")
    verify = ("--bundle", signature, "--public-key", tmp_path / "public.pem")
    assert adapter("sign-model", *common, *sign, *left_out) == 0
    assert adapter("verify-model", *common, *verify, *left_out) == 0
    assert adapter("verify-model", *common, *verify) != 0
    assert adapter("verify-model", *common, *verify, "--ignore-unsigned-files") == 0
    (model / "config.json").write_bytes(b"{}")
    assert adapter("verify-model", *common, *verify, *left_out) != 0
