"""The other commands: settings that cannot work are one line that names the setting."""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.certificates import write_certificate
from tests.controlplane.polling import eventually
from tests.unit.core.builders import policy
from weighmaster.cli.main import COMMANDS, cli
from weighmaster.settings import MAX_STALENESS, WebhookSettings


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(
        cli, list(arguments), env=environment, auto_envvar_prefix="WEIGHMASTER"
    )


def assert_one_line(result: Result, text: str) -> None:
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    last = result.stderr.strip().splitlines()[-1]
    assert text in last, result.stderr
    assert "Traceback" not in result.output


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A certificate, its key and a policy."""
    write_certificate(tmp_path)
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(policy()))
    return {
        "cert": str(tmp_path / "tls.crt"),
        "key": str(tmp_path / "tls.key"),
        "policies": str(tmp_path / "policy.yaml"),
        "folder": str(tmp_path),
    }


def webhook(files: dict[str, str], *more: str, **changes: str) -> Result:
    given = {**files, **changes}
    return run(
        "webhook",
        *("--tls-cert", given["cert"], "--tls-key", given["key"]),
        *("--standalone", "--policies", given["policies"]),
        *("--host", "127.0.0.1", "--health-host", "127.0.0.1", "--health-port", "0", *more),
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.output
    assert command in run("--help").output


def test_unknown_command_is_told() -> None:
    assert run("serve").exit_code == 2


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (("--port", "70000"), "port: must be between 0 and 65535"),
        (("--port", "-1"), "port: must be between 0 and 65535"),
        (("--health-port", "70000"), "health-port: must be between"),
        (("--max-staleness", "5"), "max-staleness: must be between 90"),
        (("--max-staleness", "nan"), "max-staleness: must be between 90"),
        (("--max-staleness", "inf"), "max-staleness: must be between 90"),
        (("--max-staleness", "-inf"), "max-staleness: must be between 90"),
        (("--max-staleness", "1e9"), "max-staleness: must be between 90"),
        (("--max-staleness", "soon"), "--max-staleness"),
        (("--shutdown-delay", "-1"), "shutdown-delay: must be between 0 and 300"),
        (("--shutdown-delay", "nan"), "shutdown-delay: must be between 0 and 300"),
        (("--port", "https"), "--port"),
        (("--log-level", "loud"), "--log-level"),
    ],
)
def test_setting_that_cannot_work_is_named(
    files: dict[str, str], more: tuple[str, ...], text: str
) -> None:
    assert_one_line(webhook(files, *more), text)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--serving-secret", "s"), "serving-name: at least one"),
        (("--serving-name", "a.svc"), "serving-name: goes with --serving-secret"),
        (("--serving-secret", "S", "--serving-name", "a.svc"), "serving-secret: 'S' is no name"),
        (("--serving-secret", "s", "--serving-name", "a_b"), "serving-name: 'a_b' is no DNS name"),
        (("--serving-secret", "s", "--serving-name", ""), "serving-name: '' is no DNS name"),
        (
            ("--serving-secret", "s", "--serving-name", "a", "--webhook-configuration", "/"),
            "webhook-configuration: '/' is no name",
        ),
        (
            ("--serving-secret", "s", "--serving-name", "a", "--certificate-lifetime", "0"),
            "certificates: they must be renewed within",
        ),
        (
            ("--serving-secret", "s", "--serving-name", "a", "--certificate-lifetime", "nan"),
            "certificate-lifetime, certificate-settle: no such times",
        ),
        (
            ("--serving-secret", "s", "--serving-name", "a", "--certificate-settle", "1e300"),
            "certificate-lifetime, certificate-settle: no such times",
        ),
    ],
)
def test_certificate_settings_that_cannot_work_are_named(
    options: tuple[str, ...], text: str
) -> None:
    assert_one_line(run("controller", *options), text)


def test_certificate_and_policies_that_cannot_work_are_named(files: dict[str, str]) -> None:
    assert_one_line(webhook(files, cert="/none"), "tls: /none or ")
    assert_one_line(webhook(files, key=files["policies"]), "are not a readable certificate")
    assert_one_line(webhook(files, policies="/none"), "/none")
    assert_one_line(webhook(files, policies=files["cert"]), "")


def test_standalone_and_policies_go_together(files: dict[str, str]) -> None:
    tls = ("webhook", "--tls-cert", files["cert"], "--tls-key", files["key"])
    assert_one_line(run(*tls, "--standalone"), "standalone: ")
    assert_one_line(run(*tls, "--policies", files["policies"]), "standalone: ")


def test_certificate_is_required() -> None:
    assert_one_line(run("webhook", "--standalone"), "--tls-cert")


@pytest.mark.network
@pytest.mark.parametrize("setting", ["port", "health-port"])
def test_port_in_use_is_named(files: dict[str, str], setting: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = str(taken.getsockname()[1])
        other = () if setting == "port" else ("--port", "0")
        assert_one_line(webhook(files, f"--{setting}", number, *other), f"{setting}: cannot listen")


def test_settings_come_from_the_environment_too(files: dict[str, str]) -> None:
    result = run(
        "webhook",
        WEIGHMASTER_WEBHOOK_TLS_CERT=files["cert"],
        WEIGHMASTER_WEBHOOK_TLS_KEY=files["key"],
        WEIGHMASTER_WEBHOOK_STANDALONE="true",
        WEIGHMASTER_WEBHOOK_POLICIES=files["policies"],
        WEIGHMASTER_WEBHOOK_PORT="70000",
    )
    assert_one_line(result, "port: must be between 0 and 65535")


def test_longest_staleness_is_a_day() -> None:
    made = WebhookSettings(certificate=Path(), key=Path(), max_staleness=MAX_STALENESS)
    assert made.max_staleness == 86400


@contextmanager
def running_webhook(files: dict[str, str], *more: str) -> Iterator[tuple[Popen[str], str]]:
    """The command as a process that is ready, and the address of its health."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        health = str(probe.getsockname()[1])
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "weighmaster", "webhook", "--standalone"),
            *("--tls-cert", files["cert"], "--tls-key", files["key"]),
            *("--policies", files["policies"], "--host", "127.0.0.1", "--port", "0"),
            *("--health-host", "127.0.0.1", "--health-port", health, *more),
        ],
        env={**os.environ, "PYTHONPATH": "operator"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        url = f"http://127.0.0.1:{health}/readyz"
        assert eventually(lambda: readiness(url) == 200)
        yield process, url
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def readiness(url: str) -> int:
    """The status of a readiness endpoint; 0 when nothing answers."""
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


@pytest.mark.network
def test_standalone_webhook_serves_and_ends_when_it_is_told_to(files: dict[str, str]) -> None:
    with running_webhook(files) as (process, _):
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=10)
        assert process.returncode == 0
        assert "Traceback" not in output


@pytest.mark.network
def test_webhook_with_a_delay_serves_on_but_is_not_ready_until_it_is_told_twice(
    files: dict[str, str],
) -> None:
    with running_webhook(files, "--shutdown-delay", "100") as (process, url):
        process.send_signal(signal.SIGTERM)
        assert eventually(lambda: readiness(url) == 503)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=10)
        assert process.returncode == 0
        assert "Traceback" not in output


def test_definitions_are_printed_as_yaml() -> None:
    result = run("crds")
    assert result.exit_code == 0
    names = {each["spec"]["names"]["kind"] for each in yaml.safe_load_all(result.output)}
    assert {"ClusterModelPolicy", "ModelException", "ModelRecord"} <= names


def test_generated_files_that_are_current_pass_the_check(tmp_path: Path) -> None:
    folders = ("--output-dir", str(tmp_path / "crds"), "--docs-dir", str(tmp_path / "docs"))
    assert run("crds", *folders, "--check").exit_code == 1
    assert not (tmp_path / "crds").exists()
    assert run("crds", *folders).exit_code == 0
    assert run("crds", *folders, "--check").exit_code == 0


@pytest.mark.parametrize("drift", ["changed", "missing", "left over", "not text"])
def test_drift_is_found_and_mended(tmp_path: Path, drift: str) -> None:
    folder = ("--output-dir", str(tmp_path))
    run("crds", *folder)
    first = min(tmp_path.glob("*.yaml"))
    match drift:
        case "changed":
            first.write_text(first.read_text() + "# by hand\n")
        case "missing":
            first.unlink()
        case "not text":
            first.write_bytes(b"\xff\xfe")
        case _:
            first = tmp_path / "weighmaster.dev_olds.yaml"
            first.write_text("old")
    result = run("crds", *folder, "--check")
    assert result.exit_code == 1
    assert first.name in result.stderr
    assert "make generate" in result.stderr
    assert run("crds", *folder).exit_code == 0
    assert run("crds", *folder, "--check").exit_code == 0


def test_definitions_of_the_repository_are_current() -> None:
    root = Path(__file__).parents[3]
    options: list[Any] = ["--output-dir", str(root / "crds"), "--check"]
    assert run("crds", *options).exit_code == 0
