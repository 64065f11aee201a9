"""Verification before start: properties that no list of cases can show."""

import copy
import itertools
import json
import random
from typing import Any

import pytest
from msgspec import structs

from tests.unit.core.builders import NOW, policy, snapshot
from weighmaster.core.detect import detect
from weighmaster.core.enforce.verification.container import read_container
from weighmaster.core.enforce.verification.members import same_bytes
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.installation import LOCAL
from weighmaster.core.mounted import CONTAINER, VARIABLE, decode_expectations
from weighmaster.pipeline import AdmissionRequest, Operation, Review, Stage, review

Json = dict[str, Any]

COMMIT = "a" * 40
CONTENT = {"content": {"verify": "BeforeStart"}}
KEY = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcD\n-----END PUBLIC KEY-----\n"
SIGNED = {"signature": {"authorities": [{"key": {"pem": KEY}}]}}


def record(name: str) -> Json:
    reference = f"hf://{name}@{COMMIT}"
    digest = f"sha256:{name.encode().hex():0<64}"[:71]
    return {
        "apiVersion": "weighmaster.dev/v1alpha1",
        "kind": "ModelRecord",
        "metadata": {"name": name.replace("/", "-")},
        "spec": {"reference": reference},
        "status": {"state": "Resolved", "resolved": reference, "loadableDigest": digest},
    }


def fetch(model: str, name: str) -> Json:
    command = ["hf", "download", model, f"--revision={COMMIT}", f"--local-dir=/data/{name}"]
    mounts = [{"name": "weights", "mountPath": "/data"}]
    return {
        "name": f"fetch-{name}",
        "image": "python:3.12",
        "command": command,
        "volumeMounts": mounts,
    }


def server(name: str, *arguments: str, **fields: Any) -> Json:
    return {
        "name": name,
        "image": "vllm/vllm-openai:v0.11.0",
        "args": list(arguments),
        "volumeMounts": [
            {"name": "weights", "mountPath": "/models"},
            {"name": "claim", "mountPath": "/claim"},
        ],
        **fields,
    }


def pod(init: list[Json], containers: list[Json]) -> Json:
    volumes = [
        {"name": "weights", "emptyDir": {}},
        {"name": "claim", "persistentVolumeClaim": {"claimName": "models"}},
    ]
    spec = {"initContainers": init, "containers": containers, "volumes": volumes}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "m"}, "spec": spec}


RECORDS = [record("acme/base"), record("acme/lora")]
INIT = [fetch("acme/base", "base"), fetch("acme/lora", "lora")]
SERVERS = [
    server("one", "--model=/models/base", "--lora-modules=x=/models/lora"),
    server("two", "--model=/claim/m"),
]
HUB, CLAIMS = {"references": ["hf://**"]}, {"references": ["pvc://**"]}
POLICIES = [
    policy(CONTENT, name="bytes", match=HUB),
    policy(SIGNED, name="signed", match=CLAIMS),
    policy(CONTENT, name="more", match=HUB),
]


def ask(document: Json, by: Snapshot, stage: Stage = Stage.MUTATE) -> Review:
    request = AdmissionRequest(
        stage=stage,
        operation=Operation.CREATE,
        subresource="",
        namespace="default",
        name="m",
        document=document,
    )
    return review(request, by, NOW)


def formed(document: Json, *stored: Json) -> Json:
    made = ask(document, snapshot(*stored, *RECORDS)).document
    assert made is not None
    return copy.deepcopy(dict(made))


def verifier(document: Json) -> Json:
    (found,) = [each for each in document["spec"]["initContainers"] if each["name"] == CONTAINER]
    assert isinstance(found, dict)
    return found


def test_one_container_checks_every_model_of_a_pod() -> None:
    made = verifier(formed(pod(INIT, SERVERS), *POLICIES))
    expected = decode_expectations(made["env"][0]["value"])
    assert [(each.reference, each.mount, each.path) for each in expected] == [
        ("pvc://models/m", "0", "m"),
        (f"hf://acme/base@{COMMIT}", "1", "base"),
        (f"hf://acme/lora@{COMMIT}", "1", "lora"),
    ]
    assert [mount["name"] for mount in made["volumeMounts"]] == ["claim", "weights"]


def test_neither_the_order_of_policies_nor_that_of_containers_changes_what_is_checked() -> None:
    wanted = verifier(formed(pod(INIT, SERVERS), *POLICIES))
    for policies in itertools.permutations(POLICIES):
        assert verifier(formed(pod(INIT, SERVERS), *policies)) == wanted
    assert verifier(formed(pod(INIT[::-1], SERVERS[::-1]), *POLICIES)) == wanted


def test_what_is_formed_stays_as_it_is_and_is_admitted() -> None:
    by = snapshot(*POLICIES, *RECORDS)
    made = formed(pod(INIT, SERVERS), *POLICIES)
    assert formed(made, *POLICIES) == made
    assert ask(made, by, Stage.VALIDATE).response.allowed


def test_detection_sees_the_same_models_before_and_after() -> None:
    before = pod(INIT, SERVERS)
    after = formed(before, *POLICIES)
    assert detect(after) == detect(before)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [found for key in value for found in paths(value[key], (*path, key))]
    if isinstance(value, list):
        return [found for n, each in enumerate(value) for found in paths(each, (*path, n))]
    return [path]


def change(document: Json, path: tuple[Any, ...], *, remove: bool) -> Json:
    changed: Any = copy.deepcopy(document)
    at = changed
    for key in path[:-1]:
        at = at[key]
    value = at[path[-1]]
    if remove:
        del at[path[-1]]
    elif isinstance(value, bool):
        at[path[-1]] = not value
    elif isinstance(value, int):
        at[path[-1]] = value + 1
    else:
        at[path[-1]] = f"{value}x"
    return dict(changed)


def test_no_part_of_the_verifying_container_can_be_changed_or_left_out() -> None:
    by = snapshot(*POLICIES, *RECORDS)
    made = formed(pod(INIT, SERVERS), *POLICIES)
    index = made["spec"]["initContainers"].index(verifier(made))
    where = ("spec", "initContainers", index)
    for path in paths(verifier(made)):
        if path == ("imagePullPolicy",):  # admission plugins set it, and the image is by digest
            continue
        for remove in (True, False):
            changed = change(made, (*where, *path), remove=remove)
            answer = ask(changed, by, Stage.VALIDATE)
            assert not answer.response.allowed, (path, remove)
    for key in ("args", "envFrom", "lifecycle", "workingDir", "restartPolicy", "volumeDevices"):
        changed = copy.deepcopy(made)
        changed["spec"]["initContainers"][index][key] = ["x"]
        assert not ask(changed, by, Stage.VALIDATE).response.allowed, key


def test_no_mount_of_a_verified_volume_can_be_made_writable() -> None:
    by = snapshot(*POLICIES, *RECORDS)
    made = formed(pod(INIT, SERVERS), *POLICIES)
    count = 0
    for container in made["spec"]["containers"]:
        for mount in container["volumeMounts"]:
            count += 1
            mount["readOnly"] = False
            assert not ask(made, by, Stage.VALIDATE).response.allowed
            del mount["readOnly"]
            assert not ask(made, by, Stage.VALIDATE).response.allowed
            mount["readOnly"] = True
    assert count == 4
    assert ask(made, by, Stage.VALIDATE).response.allowed


def test_containers_in_any_order_never_leave_a_writer_after_the_verification() -> None:
    shuffle = random.Random(7)
    by = snapshot(*POLICIES, *RECORDS)
    quiet = {"name": "quiet", "image": "busybox"}
    sidecar = {
        "name": "sidecar",
        "image": "proxy:1",
        "restartPolicy": "Always",
        "volumeMounts": [{"name": "weights", "mountPath": "/w"}],
    }
    for _ in range(60):
        made = formed(pod(INIT, SERVERS), *POLICIES)
        init = [*made["spec"]["initContainers"], quiet, sidecar]
        shuffle.shuffle(init)
        made["spec"]["initContainers"] = init
        final = formed(made, *POLICIES)
        assert ask(final, by, Stage.VALIDATE).response.allowed
        names = [each["name"] for each in final["spec"]["initContainers"]]
        at = names.index(CONTAINER)
        assert max(names.index("fetch-base"), names.index("fetch-lora")) < at
        for each in (*final["spec"]["initContainers"][at:], *final["spec"]["containers"]):
            assert all(mount["readOnly"] for mount in each.get("volumeMounts", ()))
        written = ask(made, by, Stage.VALIDATE).response.allowed
        before = [each["name"] for each in init]
        right = all(before.index(each["name"]) < before.index(CONTAINER) for each in INIT)
        assert not (written and not right)


def test_without_an_image_of_ours_nothing_is_admitted_and_the_setting_is_named() -> None:
    by = snapshot(*POLICIES, *RECORDS)
    by.facilities = structs.replace(by.facilities, installation=structs.replace(LOCAL, image=None))
    answer = ask(pod(INIT, SERVERS), by, Stage.VALIDATE)
    assert not answer.response.allowed
    assert "--image" in answer.response.message
    assert "NotVerifiable" in answer.response.message


def test_more_models_than_one_container_can_be_told_are_refused() -> None:
    many = [
        server("one", *(f"--lora-modules=x{n}=/claim/{n}" for n in range(17)), "--model=/claim/m")
    ]
    answer = ask(pod([], many), snapshot(policy(SIGNED)), Stage.VALIDATE)
    assert "more models than one container can be told" in answer.response.message


# Which containers are ours.


def ours() -> Json:
    return verifier(formed(pod(INIT, SERVERS), *POLICIES))


def test_a_container_of_ours_is_known_with_what_it_was_told() -> None:
    found = read_container(ours(), LOCAL.image)
    assert found is not None
    assert len(found) == 3
    older = {**ours(), "image": f"weighmaster.example/weighmaster@sha256:{'1' * 64}"}
    assert read_container(older, LOCAL.image) == found


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"image": "weighmaster.example/weighmaster:latest"},
        {"image": f"weighmaster.example/evil@sha256:{'0' * 64}"},
        {"command": ["sh", "-c", "echo verified > /dev/termination-log"]},
        {"args": ["--mounts=/x"]},
        {"env": []},
        {"env": [{"name": VARIABLE, "value": "[]"}]},
        {"env": [{"name": VARIABLE, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]},
        {"envFrom": [{"configMapRef": {"name": "c"}}]},
        {"lifecycle": {"postStart": {"exec": {"command": ["true"]}}}},
        {"workingDir": "/weights/0"},
        {"terminationMessagePath": "/weights/0/verdict"},
        {"terminationMessagePolicy": "FallbackToLogsOnError"},
        {"volumeMounts": [{"name": "weights", "mountPath": "/usr/lib"}]},
        {"volumeMounts": [{"name": "weights", "mountPath": "/weights/../usr/lib"}]},
    ],
)
def test_a_container_that_differs_is_not_believed(change: Json) -> None:
    assert read_container({**ours(), **change}, LOCAL.image) is None


def test_a_further_variable_is_not_believed() -> None:
    container = ours()
    container["env"].append({"name": "PYTHONPATH", "value": "/weights/0"})
    assert read_container(container, LOCAL.image) is None


def test_nobody_is_believed_where_our_own_image_is_not_known() -> None:
    assert read_container(ours(), None) is None


# Volumes that show the same files.


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"emptyDir": {}}, {"emptyDir": {}}, False),
        (
            {"persistentVolumeClaim": {"claimName": "a"}},
            {"persistentVolumeClaim": {"claimName": "a", "readOnly": True}},
            True,
        ),
        (
            {"persistentVolumeClaim": {"claimName": "a"}},
            {"persistentVolumeClaim": {"claimName": "b"}},
            False,
        ),
        ({"hostPath": {"path": "/a"}}, {"hostPath": {"path": "/a/b"}}, True),
        ({"hostPath": {"path": "/a/b/"}}, {"hostPath": {"path": "/a"}}, True),
        ({"hostPath": {"path": "/a"}}, {"hostPath": {"path": "/ab"}}, False),
        ({"hostPath": {"path": "/x/../a"}}, {"hostPath": {"path": "/a"}}, True),
        ({"hostPath": {"path": "/a"}}, {"hostPath": {"path": "/"}}, True),
        ({"nfs": {"server": "s", "path": "/a"}}, {"nfs": {"server": "s", "path": "/a/b"}}, True),
        ({"nfs": {"server": "s", "path": "/a"}}, {"nfs": {"server": "t", "path": "/a"}}, False),
        ({"csi": {"driver": "d"}}, {"csi": {"driver": "d"}}, True),
        ({"csi": {"driver": "d"}}, {"csi": {"driver": "e"}}, False),
        ({"hostPath": {"path": "/a"}}, {"emptyDir": {}}, False),
    ],
)
def test_volumes_that_show_the_same_files_are_known(one: Json, other: Json, same: bool) -> None:
    spec = {"volumes": [{"name": "a", **one}, {"name": "b", **other}]}
    assert same_bytes(spec, frozenset({"a"})) == (frozenset("ab") if same else frozenset("a"))
    assert same_bytes(spec, frozenset({"b"})) == (frozenset("ab") if same else frozenset("b"))


def test_pods_of_any_shape_are_survived() -> None:
    by = snapshot(*POLICIES, *RECORDS)
    shapes: list[Any] = [None, 0, "x", [], {}, [None], ["x"], [{"name": None}], {"name": "x"}]
    base = pod(INIT, SERVERS)
    for key in ("initContainers", "containers", "volumes", "ephemeralContainers"):
        for shape in shapes:
            made = copy.deepcopy(base)
            made["spec"][key] = shape
            ask(made, by)
            ask(made, by, Stage.VALIDATE)
    for path in paths(base["spec"]["containers"][0]):
        for shape in shapes:
            made = copy.deepcopy(base)
            at: Any = made["spec"]["containers"][0]
            for key in path[:-1]:
                at = at[key]
            at[path[-1]] = shape
            json.dumps(ask(made, by).response.patch)
