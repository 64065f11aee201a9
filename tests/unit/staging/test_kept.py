"""Downloading models: what lies on the volume already."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.unit.staging.conftest import FOLDER, OTHER, WEIGHTS, Staged
from weighmaster.core.mounted import Result

PRECIOUS = Path("/etc/passwd")


async def test_a_model_that_is_whole_needs_no_hub(staging: Staged) -> None:
    await staging.run()
    staging.hub.seen.clear()
    verdict = await staging.run()
    assert verdict.result is Result.VERIFIED
    assert verdict.verified[0].files == len(staging.wanted())
    assert staging.files() == staging.wanted()
    assert not staging.hub.seen


@pytest.mark.parametrize("name", [WEIGHTS, "config.json"])
async def test_a_served_file_that_was_changed_is_fetched_again(staging: Staged, name: str) -> None:
    await staging.run()
    path = staging.served / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    staging.hub.seen.clear()
    assert (await staging.run()).result is Result.VERIFIED
    assert staging.files() == staging.wanted()
    assert [seen.path.rpartition("/")[2] for seen in staging.hub.requests("/resolve/")] == [name]


async def test_a_served_file_that_was_changed_is_not_served_while_the_hub_is_down(
    staging: Staged,
) -> None:
    await staging.run()
    (staging.served / WEIGHTS).write_bytes(b"evil")

    async def down(request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=503)

    staging.hub.misbehave = down
    await staging.refused()


def _precious() -> bytes:
    return PRECIOUS.read_bytes()


def _link(place: Path) -> None:
    place.mkdir(parents=True)
    (place / WEIGHTS).symlink_to(PRECIOUS)


def _folder(place: Path) -> None:
    (place / WEIGHTS).mkdir(parents=True)
    (place / WEIGHTS / "x").write_bytes(b"")


def _stranger(place: Path) -> None:
    (place / "sub").mkdir(parents=True)
    (place / "sub" / "evil.py").write_bytes(b"import os")


def _longer(place: Path) -> None:
    place.mkdir(parents=True)
    (place / WEIGHTS).write_bytes(bytes(10_000))


def _file(place: Path) -> None:
    place.parent.mkdir(parents=True)
    place.write_bytes(b"")


def _elsewhere(place: Path) -> None:
    place.parent.mkdir(parents=True)
    place.symlink_to("/")


@pytest.mark.parametrize("where", ["served", "hidden"])
@pytest.mark.parametrize("leave", [_link, _folder, _stranger, _longer, _file, _elsewhere])
async def test_what_does_not_belong_there_is_gone_in_the_end(
    staging: Staged, where: str, leave: Any
) -> None:
    leave(getattr(staging, where))
    before = _precious()
    verdict = await staging.run()
    assert verdict.result is Result.VERIFIED, verdict
    assert staging.files() == staging.wanted()
    assert _precious() == before
    assert sorted(path.name for path in staging.volume.iterdir()) == [FOLDER.partition("/")[0]]


async def test_a_link_to_the_same_bytes_is_replaced_by_a_file(staging: Staged) -> None:
    staging.repository.files[OTHER] = staging.repository.files[WEIGHTS]
    await staging.run()
    path = staging.served / WEIGHTS
    path.unlink()
    path.symlink_to(OTHER)
    assert (await staging.run()).result is Result.VERIFIED
    assert staging.files() == staging.wanted()
    assert not path.is_symlink()
