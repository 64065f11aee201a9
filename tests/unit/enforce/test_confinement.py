"""Properties of confinement, over pods of every kind of carelessness."""

import copy
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.enforce.pod_security import containers, stored, violations
from tests.unit.enforce.pods import MODEL_FOLDER, pods, profiles
from weighmaster.api.v1alpha1.sandbox import SandboxProfileSpec
from weighmaster.core.enforce.confinement import Confined, confine
from weighmaster.core.enforce.confinement.containers import SCRATCH
from weighmaster.core.enforce.confinement.network import SANDBOX_LABEL
from weighmaster.core.enforce.confinement.quantities import parse_quantity
from weighmaster.core.patch import difference
from weighmaster.core.reasons import Reason

Json = dict[str, Any]

REFERENCES = (f"hostpath://{MODEL_FOLDER}/phi", "hf://acme/m")
RUNNING = ("initContainers", "containers")

often = settings(max_examples=100, deadline=None)


def confined(pod: Json, **profile: Any) -> Confined:
    return confine(pod, "isolated", msgspec.convert(profile, SandboxProfileSpec), REFERENCES)


@often
@given(pods(), profiles)
def test_confined_pod_meets_the_restricted_standard_but_for_models_on_the_node(
    pod: Json, profile: Json
) -> None:
    made = confined(stored(pod), **profile)
    if not made.refusals:
        assert set(violations(dict(made.pod))) <= {"hostPath volumes", "volume types"}
        for volume in made.pod["spec"].get("volumes", ()):
            if "hostPath" in volume:
                assert volume["hostPath"] == {"path": MODEL_FOLDER, "type": "Directory"}


@often
@given(pods(), profiles)
def test_what_is_confined_stays_as_it_is_also_after_the_api_server_has_had_it(
    pod: Json, profile: Json
) -> None:
    made = confined(stored(pod), **profile)
    if not made.refusals:
        assert difference(made.pod, confined(dict(made.pod), **profile).pod) == ()
        handed_on = stored(dict(made.pod))
        again = confined(handed_on, **profile)
        assert again.refusals == ()
        assert difference(handed_on, again.pod) == ()


@often
@given(pods(), profiles)
def test_confinement_leaves_what_it_was_given_and_names_fields_that_exist(
    pod: Json, profile: Json
) -> None:
    before = copy.deepcopy(pod)
    made = confined(pod, **profile)
    assert pod == before
    for refusal in made.refusals:
        assert refusal.path.startswith(("spec.", "metadata."))
        assert refusal.reason in (Reason.SANDBOX_IMPOSSIBLE, Reason.SANDBOX_SECRETS)


@often
@given(pods(), profiles)
def test_nothing_that_a_pod_denied_itself_is_given_to_it(pod: Json, profile: Json) -> None:
    before = stored(pod)
    made = confined(before, **profile)
    if made.refusals:
        return
    after = dict(made.pod)
    old, new = before["spec"], after["spec"]
    assert new["automountServiceAccountToken"] is False
    assert new.get("activeDeadlineSeconds", 10**9) <= old.get("activeDeadlineSeconds", 10**9)
    assert set(old.get("nodeSelector", {})) <= set(new.get("nodeSelector", {}))
    if old.get("runtimeClassName") and "runtimeClassName" not in profile:
        assert new["runtimeClassName"] == old["runtimeClassName"]
    added = {v["name"] for v in new.get("volumes", ())} - {
        v["name"] for v in old.get("volumes", ())
    }
    assert added <= {"weighmaster-scratch"}
    _compare_contexts(old.get("securityContext") or {}, new["securityContext"])
    for one, other in zip(containers(before), containers(after), strict=True):
        _compare_containers(one, other)


def _compare_contexts(old: Json, new: Json) -> None:
    if old.get("runAsUser"):
        assert new["runAsUser"] == old["runAsUser"]
    if (old.get("seccompProfile") or {}).get("type") in ("Localhost", "RuntimeDefault"):
        assert new["seccompProfile"] == old["seccompProfile"]
    if (old.get("appArmorProfile") or {}).get("type") == "Localhost":
        assert new["appArmorProfile"] == old["appArmorProfile"]


def _compare_containers(old: Json, new: Json) -> None:
    _compare_contexts(old.get("securityContext") or {}, new["securityContext"])
    capabilities = (old.get("securityContext") or {}).get("capabilities") or {}
    if "ALL" in capabilities.get("drop", ()) and not capabilities.get("add"):
        assert new["securityContext"]["capabilities"] == capabilities
    for kind in ("limits", "requests"):
        for name, value in ((old.get("resources") or {}).get(kind) or {}).items():
            assert _amount(new["resources"][kind][name]) <= _amount(value)
    mounts = {(mount["name"], mount["mountPath"]): mount for mount in old.get("volumeMounts", ())}
    for mount in new.get("volumeMounts", ()):
        if mount["name"] == SCRATCH:
            continue
        if mounts[mount["name"], mount["mountPath"]].get("readOnly"):
            assert mount["readOnly"] is True
    assert set(old) - set(new) <= {"env", "envFrom", "volumeMounts"}


def _amount(value: object) -> Fraction:
    amount = parse_quantity(value)
    assert amount is not None
    return amount


@often
@given(pods(), profiles)
def test_no_secret_and_no_token_is_left(pod: Json, profile: Json) -> None:
    made = confined(stored(pod), **profile)
    secrets = list(_secrets(dict(made.pod)))
    if profile.get("secrets") == "Strip":
        assert secrets == []
    elif secrets:
        assert {refusal.reason for refusal in made.refusals} >= {Reason.SANDBOX_SECRETS}
    names = {volume["name"] for volume in made.pod["spec"].get("volumes", ())}
    assert "kube-api-access-x" not in names
    for container in containers(dict(made.pod)):
        assert {mount["name"] for mount in container.get("volumeMounts", ())} - names <= {
            # What the pod mounted without having it, it still does: the API server refuses that.
            mount["name"]
            for original in containers(pod)
            for mount in original.get("volumeMounts", ())
        }


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("secret", "secretKeyRef", "secretRef", "serviceAccountToken"):
                yield key
            yield from _secrets(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _secrets(inner)


@often
@given(pods(), profiles)
def test_shared_storage_can_only_be_read(pod: Json, profile: Json) -> None:
    made = confined(stored(pod), **profile)
    volumes = {volume["name"]: volume for volume in made.pod["spec"].get("volumes", ())}
    for container in containers(dict(made.pod)):
        for mount in container.get("volumeMounts", ()):
            volume = volumes.get(mount["name"], {})
            if {"persistentVolumeClaim", "csi", "hostPath"} & set(volume):
                assert mount["readOnly"] is True
            for kind in ("persistentVolumeClaim", "csi"):
                assert volume.get(kind, {"readOnly": True})["readOnly"] is True


@often
@given(pods(), profiles)
def test_caps_hold_and_requests_stay_below_limits(pod: Json, profile: Json) -> None:
    made = confined(stored(pod), **profile)
    for name, most in profile.get("resources", {}).items():
        for kind in RUNNING:
            for container in made.pod["spec"].get(kind, ()):
                resources = container.get("resources") or {}
                limit, request = (
                    (resources.get(k) or {}).get(name) for k in ("limits", "requests")
                )
                divisible = "/" not in name and not name.startswith("hugepages-")
                if divisible or limit is not None:
                    assert _amount(limit) <= _amount(most)
                if divisible and request is not None:
                    assert _amount(request) <= _amount(limit)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def broken_pods(draw: st.DrawFn) -> Json:
    """A pod of which some field has become something else."""
    pod = draw(pods())
    place: Any = pod
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key] or draw(st.booleans()):
            place[key] = draw(anything)
            return pod
        place = place[key]


@often
@given(broken_pods(), profiles)
def test_confinement_never_raises_whatever_a_field_is(pod: Json, profile: Json) -> None:
    made = confined(pod, **profile)
    if not made.refusals:
        assert made.pod["metadata"]["labels"][SANDBOX_LABEL] == "isolated"


@given(anything)
def test_confinement_never_raises_on_any_mapping(value: Any) -> None:
    confined({"metadata": value, "spec": value})


def test_pod_that_is_nested_without_end_is_refused() -> None:
    nested: Json = {}
    for _ in range(5000):
        nested = {"a": nested}
    made = confined({"metadata": {}, "spec": {"containers": [], "affinity": nested}})
    assert [refusal.path for refusal in made.refusals] == ["spec"]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1", 1),
        ("0.5", Fraction(1, 2)),
        (".5", Fraction(1, 2)),
        ("5.", 5),
        ("100m", Fraction(1, 10)),
        ("1n", Fraction(1, 10**9)),
        ("1u", Fraction(1, 10**6)),
        ("2k", 2000),
        ("3M", 3 * 10**6),
        ("3E", 3 * 10**18),
        ("1Ki", 1024),
        ("1.5Gi", 3 * 2**29),
        ("1Ei", 2**60),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1E", 10**18),
        ("12E-1", Fraction(6, 5)),
        ("-1", -1),
        ("+1", 1),
        (2, 2),
        (0.5, Fraction(1, 2)),
    ],
)
def test_quantity_is_read_as_kubernetes_reads_it(text: Any, amount: Any) -> None:
    assert parse_quantity(text) == amount


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "x",
            "1 ",
            " 1",
            "1\n",
            "1ki",
            "1KI",
            "1mi",
            "--1",
            "1e",
            "1e999",
            "\u0661",
            "1i",
            ".",
        ),
        *(True, None, []),
    ],
)
def test_what_is_no_quantity_is_none(text: Any) -> None:
    assert parse_quantity(text) is None


@given(st.text(max_size=90))
def test_quantity_never_raises(text: str) -> None:
    parse_quantity(text)
