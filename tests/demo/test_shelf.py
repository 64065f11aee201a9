"""What the demo shows, by the whole shelf: each policy has to leave the others their sense."""

from pathlib import Path

import pytest

from weighmaster.cli.deciding import check_files
from weighmaster.core.values import Action

HERE = Path(__file__).parent
SHELF = [HERE.parents[1] / "policies", HERE / "records.yaml"]


def decided(name: str) -> dict[str, Action]:
    result = check_files([str(HERE / "manifests" / name)], SHELF, "default")
    assert not result.broken
    return {checked.name: checked.action for checked in result.checked}


def test_what_complies_is_let_through_by_the_whole_shelf() -> None:
    assert decided("compliant.yaml") == {
        "assistant": Action.ALLOW,
        "embeddings": Action.WARN,
        "storefront": Action.ALLOW,
        "ledger": Action.ALLOW,
    }


@pytest.mark.parametrize("name", ["kserve.yaml", "refused.yaml"])
def test_what_does_not_comply_is_refused_by_the_whole_shelf(name: str) -> None:
    assert set(decided(name).values()) == {Action.DENY}
