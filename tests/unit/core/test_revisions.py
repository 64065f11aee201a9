"""What the name of a revision says of whose word its content is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighmaster.core.revisions import Standing, standing_by_name


@pytest.mark.parametrize(
    "revision",
    [None, "main", "v1.0", "4.0bpw", "gptq-4bit-32g-actorder_True", "feature/x", "Q4_K_M", "fp16",
     "refs/heads/main", "refs/tags/v1", "pr/fixes", "2024-11", "f16", "step-1000", "release-good"],
)  # fmt: skip
def test_branch_or_tag_is_the_owners_by_its_name(revision: str | None) -> None:
    assert standing_by_name(revision) is Standing.OWN


@pytest.mark.parametrize("revision", ["refs/pr/1", "pr/12", "PR/3", "refs/pr/3^0", "refs/pr/x"])
def test_pull_request_is_anybodys_by_its_name(revision: str) -> None:
    assert standing_by_name(revision) is Standing.PROPOSED


@pytest.mark.parametrize(
    "revision",
    ["a" * 40, "A" * 40, "a" * 64, "abcd", "bf16", "2024", "v1-3-gabcdef0", "x/y-0-gABCD",
     "main~1", "main^", "main^{commit}", "main@{1}", ":/fix", "refs/convert/parquet",
     "convert/parquet", "refs/stash", "refs/remotes/evil/main", "-", "", "main\n", "@", "a..b@",
     "refs/notes/commits", "main\nabcd"],
)  # fmt: skip
def test_what_may_be_a_commit_or_an_expression_is_an_open_question(revision: str) -> None:
    assert standing_by_name(revision) is Standing.UNKNOWN


@given(st.text(max_size=60), st.from_regex(r"[0-9a-fA-F]{4,40}", fullmatch=True))
def test_nothing_that_ends_like_a_described_commit_passes_by_its_name(name: str, sha: str) -> None:
    assert standing_by_name(f"{name}-g{sha}") is not Standing.OWN
