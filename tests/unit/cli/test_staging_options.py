"""How pods are to reach the hub: what the webhook takes, and what it refuses at its start."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.certificates import write_certificate
from weighmaster.cli.main import cli
from weighmaster.cli.staging import staging_hub
from weighmaster.core.installation import Installation
from weighmaster.core.staged import Hub
from weighmaster.settings import WebhookSettings
from weighmaster.staging.hub import MAX_CA_BYTES, hub_settings


def hub(**changes: Any) -> Hub:
    given: dict[str, Any] = {
        "staging_endpoints": (),
        "staging_internal_hosts": (),
        "staging_plain_http_hosts": (),
        "staging_proxy": "",
        "staging_no_proxy": (),
        "staging_ca_file": None,
    }
    return staging_hub(**{**given, **changes})


def start(*arguments: str) -> tuple[int, str]:
    """Exit code and output of a webhook that is started with these."""
    required = ["--tls-cert=none", "--tls-key=none", "--standalone", "--policies=none"]
    result = CliRunner().invoke(cli, ["webhook", *required, *arguments])
    return result.exit_code, result.output


def test_nothing_said_is_the_public_hub_without_a_proxy() -> None:
    assert hub() == Hub()
    assert hub_settings(hub()).endpoint("hf").host == "huggingface.co"


def test_what_is_said_is_what_pods_go_by(tmp_path: Path) -> None:
    write_certificate(tmp_path)
    certificate = tmp_path / "tls.crt"
    told = hub(
        staging_endpoints=("hf=https://hub.bank.example/hf",),
        staging_internal_hosts=("hub.bank.example",),
        staging_proxy="http://proxy.bank.example:3128",
        staging_no_proxy=("cdn.example",),
        staging_ca_file=certificate,
    )
    WebhookSettings(certificate=Path(), key=Path(), installation=Installation(hub=told))
    settings = hub_settings(told)
    assert str(settings.endpoint("hf")) == "https://hub.bank.example/hf"
    assert settings.is_internal(settings.endpoint("hf"))
    assert settings.ca == certificate.read_text()


def test_comments_between_certificates_are_left_out(tmp_path: Path) -> None:
    write_certificate(tmp_path)
    text = (tmp_path / "tls.crt").read_text()
    bundle = tmp_path / "bundle.pem"
    bundle.write_text(f"# Główny urząd\n{text}\n# {'x' * MAX_CA_BYTES}\n{text}", encoding="utf-8")
    assert hub(staging_ca_file=bundle).ca == text * 2


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--staging-endpoint=https://hub.example", "staging-endpoint: must be SCHEME=URL"),
        ("--staging-endpoint=oci=https://hub.example", "staging-endpoint: nothing is staged from"),
        ("--staging-endpoint=hf=http://hub.example", "staging-endpoints.hf: must be https"),
        ("--staging-endpoint=hf=https://u:p@hub.example", "staging-endpoints.hf: must be a URL"),
        ("--staging-proxy=proxy.example:3128", "staging-proxy: must be an http or https URL"),
        ("--staging-internal-host=", "staging-internal-hosts: must be"),
        ("--staging-cpu=much", "staging-cpu: must be a quantity"),
        ("--staging-memory=0", "staging-memory: must be a quantity"),
        ("--staging-ca-file=/nowhere/ca.pem", "staging-ca-file: /nowhere/ca.pem cannot be read"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line_that_names_it(argument: str, message: str) -> None:
    code, output = start(argument)
    assert code == 2
    assert output.startswith(f"weighmaster: {message}")
    assert output.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "holds no certificates in PEM"),
        (
            "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n",
            "must hold certificates in PEM",
        ),
        (
            f"-----BEGIN CERTIFICATE-----\n{'A' * MAX_CA_BYTES}\n-----END CERTIFICATE-----\n",
            "must be at most 32 KiB",
        ),
    ],
    ids=["none", "broken", "large"],
)
def test_certificates_that_pods_could_not_use_are_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "ca.pem"
    path.write_text(text)
    code, output = start(f"--staging-ca-file={path}")
    assert code == 2
    assert output.startswith("weighmaster: staging-ca-file: ")
    assert message in output
