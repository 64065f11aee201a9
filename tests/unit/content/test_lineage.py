"""Lineage from the evidence of ancestors."""

from hypothesis import given, settings
from hypothesis import strategies as st

from weighmaster.core.content.lineage import trace
from weighmaster.core.evidence import (
    CardFacts,
    Evidence,
    Gap,
    GapReason,
    Unavailable,
    UnavailableReason,
)


def model(name: str, *parents: str, gaps: tuple[Gap, ...] = ()) -> Evidence:
    reference = f"hf://{name}"
    card = CardFacts(base_models=tuple(f"hf://{parent}" for parent in parents))
    return Evidence(reference=reference, resolved=reference, card=card, gaps=gaps)


def known(*models: Evidence) -> dict[str, Evidence | Unavailable]:
    return {found.reference: found for found in models}


def test_a_chain_is_followed_to_its_root() -> None:
    lineage = trace(model("a/m", "a/p"), known(model("a/p", "a/g"), model("a/g")))
    assert [(found.reference, found.depth) for found in lineage.ancestors] == [
        ("hf://a/p", 1), ("hf://a/g", 2),
    ]  # fmt: skip
    assert lineage.roots == ("hf://a/g",)
    assert lineage.complete


def test_a_model_without_base_models_has_a_complete_and_empty_lineage() -> None:
    assert trace(model("a/m"), {}).complete


def test_an_ancestor_nobody_has_looked_at_is_unknown() -> None:
    lineage = trace(model("a/m", "a/p"), {})
    assert lineage.unknown == ("hf://a/p",)
    assert not lineage.complete


def test_an_outage_does_not_make_an_ancestor_known() -> None:
    gone = Unavailable(reference="hf://a/p", reason=UnavailableReason.UNREACHABLE, message="")
    lineage = trace(model("a/m", "a/p"), {"hf://a/p": gone})
    assert lineage.unknown == ("hf://a/p",)


def test_a_model_that_is_its_own_ancestor_is_said_to_be_so() -> None:
    lineage = trace(model("a/m", "a/p"), known(model("a/p", "a/g"), model("a/g", "a/p")))
    assert lineage.cyclic == ("hf://a/p",)
    assert not lineage.complete
    assert not trace(model("a/m", "A/M"), {}).complete


def test_a_merge_of_models_with_one_ancestor_has_it_once() -> None:
    lineage = trace(
        model("a/m", "a/x", "a/y"), known(model("a/x", "a/g"), model("a/y", "a/g"), model("a/g"))
    )
    assert [found.reference for found in lineage.ancestors] == ["hf://a/x", "hf://a/y", "hf://a/g"]
    assert lineage.complete


def test_case_and_revision_do_not_make_two_ancestors_of_one() -> None:
    child = Evidence(
        reference="hf://a/m",
        resolved="hf://a/m",
        card=CardFacts(base_models=("hf://Acme/Base", "hf://acme/base@main")),
    )
    lineage = trace(child, known(model("acme/base")))
    assert len(lineage.ancestors) == 1
    assert lineage.complete


def test_the_depth_cap_ends_a_chain_and_says_so() -> None:
    chain = [model(f"a/{n}", f"a/{n + 1}") for n in range(100)]
    lineage = trace(chain[0], known(*chain), max_depth=5)
    assert len(lineage.ancestors) == 5
    assert lineage.cut
    assert not lineage.complete


def test_the_cap_on_ancestors_ends_a_wide_merge_and_says_so() -> None:
    parents = [model(f"a/{n}") for n in range(60)]
    child = model("a/m", *(found.reference.removeprefix("hf://") for found in parents))
    lineage = trace(child, known(*parents), max_ancestors=10)
    assert len(lineage.ancestors) == 10
    assert lineage.cut


def test_a_card_that_cannot_be_read_makes_the_lineage_incomplete() -> None:
    broken = model("a/p", gaps=(Gap(GapReason.CARD_MALFORMED, ""),))
    assert not trace(model("a/m", "a/p"), known(broken)).complete


edges = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=40)


@given(edges)
@settings(deadline=None)
def test_every_graph_ends_and_every_reachable_cycle_is_found(pairs: list[tuple[int, int]]) -> None:
    parents: dict[int, list[int]] = {n: [] for n in range(10)}
    for child, parent in pairs:
        parents[child].append(parent)
    models = [model(f"a/{n}", *(f"a/{p}" for p in parents[n])) for n in range(10)]
    lineage = trace(models[0], known(*models), max_depth=20)
    reachable = {0}
    frontier = [0]
    while frontier:
        for parent in parents[frontier.pop()]:
            if parent not in reachable:
                reachable.add(parent)
                frontier.append(parent)

    def ancestors(start: int) -> set[int]:
        seen: set[int] = set()
        todo = [start]
        while todo:
            for parent in parents[todo.pop()]:
                if parent not in seen:
                    seen.add(parent)
                    todo.append(parent)
        return seen

    cyclic = any(n in ancestors(n) for n in reachable)
    assert bool(lineage.cyclic) == cyclic
    assert not lineage.cut
