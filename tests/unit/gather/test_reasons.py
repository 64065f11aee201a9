"""Reason codes of evidence: each says what it means."""

import ast
import inspect
from enum import StrEnum

import pytest

from weighmaster.core import evidence
from weighmaster.core.evidence import GapReason, SignatureKind, Unavailable, UnavailableReason


@pytest.mark.parametrize("reasons", [UnavailableReason, GapReason, SignatureKind])
def test_every_reason_is_documented(reasons: type[StrEnum]) -> None:
    tree = ast.parse(inspect.getsource(evidence))
    (found,) = (
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name == reasons.__name__
    )
    documented = {
        target.id
        for node, after in zip(found.body, found.body[1:], strict=False)
        if isinstance(node, ast.Assign) and isinstance(after, ast.Expr)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    assert documented == set(reasons.__members__)


@pytest.mark.parametrize("reason", UnavailableReason)
def test_only_outages_and_limits_pass_by_themselves(reason: UnavailableReason) -> None:
    found = Unavailable(reference="hf://a/b", reason=reason, message="")
    assert found.transient == (reason.value in ("RateLimited", "Unreachable"))
