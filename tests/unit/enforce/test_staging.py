"""Staging: properties that no list of cases can show."""

import copy
import itertools
import json
import random
from typing import Any

import pytest
from msgspec import structs

from tests.unit.core.builders import NOW, policy, snapshot
from tests.unit.enforce.pod_security import violations
from tests.unit.enforce.test_verification import COMMIT, ask, change, paths, record
from weighmaster.core.detect import detect
from weighmaster.core.enforce.staging.container import read_container
from weighmaster.core.enforce.staging.plan import is_fetched_by_server
from weighmaster.core.enforce.verification.weighing import read_weighing
from weighmaster.core.installation import LOCAL
from weighmaster.core.staged import (
    CONTAINER,
    MAX_DOWNLOADS,
    MODELS,
    TOKEN,
    VARIABLE,
    VOLUME,
    Hub,
    decode_downloads,
)
from weighmaster.pipeline import Stage, audit, describe

Json = dict[str, Any]

STAGED = {"content": {"verify": "BeforeStart", "downloads": "Stage"}}
RECORDS = [record("acme/base"), record("acme/lora"), record("acme/words")]
POLICIES = [
    policy(STAGED, name="bytes"),
    policy(STAGED, name="more"),
    policy({"content": {"verify": "BeforeStart"}}, name="refusing"),
]
SECRET = {"secretKeyRef": {"name": "hub", "key": "token"}}
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def server(name: str, *arguments: str, **fields: Any) -> Json:
    return {
        "name": name,
        "image": "vllm/vllm-openai:v0.11.0",
        "args": [f"--revision={COMMIT}", *arguments],
        "securityContext": RESTRICTED,
        **fields,
    }


SERVERS = [
    server("one", "--model=acme/base", f"--lora-modules=x=acme/lora@{COMMIT}"),
    server("two", "--model", "acme/words", env=[{"name": TOKEN, "valueFrom": SECRET}]),
]


def pod(containers: list[Json], init: list[Json] | None = None) -> Json:
    spec: Json = {"containers": containers}
    if init is not None:
        spec["initContainers"] = init
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "m"}, "spec": spec}


def formed(document: Json, *stored: Json) -> Json:
    made = ask(document, snapshot(*(stored or POLICIES), *RECORDS)).document
    assert made is not None
    parted: Json = json.loads(json.dumps(made))  # what is in it twice is two things in JSON
    return parted


def stager(document: Json) -> Json:
    (found,) = [each for each in document["spec"]["initContainers"] if each["name"] == CONTAINER]
    return dict(found)


def downloaded(document: Json) -> list[tuple[str, str]]:
    told = decode_downloads(stager(document)["env"][0]["value"])
    return [(each.reference, each.folder) for each in told.models]


def test_one_container_downloads_every_model_of_a_pod() -> None:
    assert downloaded(formed(pod(SERVERS))) == [
        (f"hf://{name}@{COMMIT}", f"{COMMIT[:12]}/{name}")
        for name in ("acme/base", "acme/lora", "acme/words")
    ]


def test_neither_the_order_of_policies_nor_that_of_containers_changes_what_is_downloaded() -> None:
    expected = stager(formed(pod(SERVERS)))
    for policies in itertools.permutations(POLICIES):
        for servers in itertools.permutations(SERVERS):
            assert stager(formed(pod(list(servers)), *policies)) == expected


def test_what_is_formed_stays_as_it_is_and_is_admitted() -> None:
    made = formed(pod(SERVERS))
    assert formed(made) == made
    assert ask(made, snapshot(*POLICIES, *RECORDS), Stage.VALIDATE).response.allowed


def test_servers_load_the_same_models_before_and_after() -> None:
    def loaded(document: Json) -> list[Any]:
        return [
            (use.reference, use.role, use.process)
            for use in detect(document)
            if use.process.container != CONTAINER and not use.reason.endswith(" tokenizer")
        ]

    assert loaded(formed(pod(SERVERS))) == loaded(pod(SERVERS))


def test_a_pod_that_fits_the_restricted_standard_still_does() -> None:
    assert violations(pod(SERVERS)) == []
    assert violations(formed(pod(SERVERS))) == []


def test_no_part_of_the_staging_container_can_be_changed_or_left_out() -> None:
    by = snapshot(*POLICIES, *RECORDS)
    made = formed(pod(SERVERS))
    where = ("spec", "initContainers", 0)
    for path in paths(stager(made)):
        if path == ("imagePullPolicy",):  # admission plugins set it, and the image is by digest
            continue
        for remove in (True, False):
            changed = change(made, (*where, *path), remove=remove)
            assert not ask(changed, by, Stage.VALIDATE).response.allowed, (path, remove)
    for key in ("args", "envFrom", "lifecycle", "workingDir", "restartPolicy", "volumeDevices"):
        changed = copy.deepcopy(made)
        changed["spec"]["initContainers"][0][key] = ["x"]
        assert not ask(changed, by, Stage.VALIDATE).response.allowed, key


def test_no_server_can_be_given_the_volume_to_write_or_a_hub_to_ask() -> None:
    by = snapshot(*POLICIES, *RECORDS)
    made = formed(pod(SERVERS))
    for index, container in enumerate(made["spec"]["containers"]):
        where = ("spec", "containers", index)
        for path in paths(container):
            if path[0] not in ("volumeMounts", "env") or container["env"][0]["name"] == TOKEN:
                continue
            for remove in (True, False):
                changed = change(made, (*where, *path), remove=remove)
                assert not ask(changed, by, Stage.VALIDATE).response.allowed, (path, remove)


def test_containers_in_any_order_never_start_a_server_before_its_models_are_there() -> None:
    shuffle = random.Random(11)
    by = snapshot(*POLICIES, *RECORDS)
    sidecar = server("early", "--model=acme/words", restartPolicy="Always")
    helper = {"name": "tune", "image": "tune:1", "securityContext": {"privileged": True}}
    quiet = {"name": "quiet", "image": "busybox"}
    for _ in range(40):
        init = [sidecar, helper, quiet]
        shuffle.shuffle(init)
        if init.index(sidecar) < init.index(helper):
            answer = ask(pod(SERVERS, init), by, Stage.VALIDATE)
            assert "NotStageable" in answer.response.message
            continue
        made = formed(pod(SERVERS, init))
        names = [each["name"] for each in made["spec"]["initContainers"]]
        assert names.index("tune") < names.index(CONTAINER) < names.index("early")
        listed = made["spec"]["initContainers"]
        shuffle.shuffle(listed)
        names = [each["name"] for each in listed]
        right = names.index("tune") < names.index(CONTAINER) < names.index("early")
        assert ask(made, by, Stage.VALIDATE).response.allowed is right


def test_without_an_image_of_ours_nothing_is_admitted_and_the_setting_is_named() -> None:
    by = snapshot(*POLICIES, *RECORDS)
    by.facilities = structs.replace(by.facilities, installation=structs.replace(LOCAL, image=None))
    answer = ask(pod(SERVERS), by, Stage.VALIDATE)
    assert not answer.response.allowed
    assert "--image" in answer.response.message
    assert "NotStageable" in answer.response.message


def test_how_the_hub_is_reached_is_the_installations_affair() -> None:
    hub = Hub(endpoints={"hf": "https://hub.internal"}, internal_hosts=("hub.internal",))
    by = snapshot(*POLICIES, *RECORDS)
    installation = structs.replace(LOCAL, hub=hub, staging_cpu="4", staging_memory="1Gi")
    by.facilities = structs.replace(by.facilities, installation=installation)
    made = ask(pod(SERVERS), by).document
    assert made is not None
    container = stager(dict(made))
    assert decode_downloads(container["env"][0]["value"]).hub == hub
    assert container["resources"]["limits"] == {"cpu": "4", "memory": "1Gi"}


def test_more_models_than_one_container_can_be_told_are_refused() -> None:
    names = [f"acme/m{n}" for n in range(MAX_DOWNLOADS + 1)]
    servers = [server(f"s{n}", f"--model={name}") for n, name in enumerate(names)]
    by = snapshot(policy(STAGED), *map(record, names))
    assert "more models than one" in ask(pod(servers), by, Stage.VALIDATE).response.message
    assert ask(pod(servers[1:]), by).response.patch


def test_names_that_differ_in_their_case_have_folders_of_their_own() -> None:
    servers = [server("one", "--model=acme/base"), server("two", "--model=Acme/Base")]
    by = snapshot(policy(STAGED), record("acme/base"), record("Acme/Base"))
    made = ask(pod(servers), by).document
    assert made is not None
    folders = [folder for _, folder in downloaded(dict(made))]
    assert folders == [f"{COMMIT[:12]}/Acme/Base", f"{COMMIT[:12]}/acme/base"]


# Which containers are ours.


def ours() -> Json:
    return stager(formed(pod(SERVERS)))


def test_a_container_of_ours_is_known_with_what_it_was_told() -> None:
    found = read_container(ours(), LOCAL.image)
    assert found is not None
    assert len(found.models) == 3
    older = {**ours(), "image": f"weighmaster.example/weighmaster@sha256:{'1' * 64}"}
    assert read_container(older, LOCAL.image) == found
    assert read_container(ours(), None) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "other"},
        {"image": "weighmaster.example/weighmaster:latest"},
        {"image": f"weighmaster.example/evil@sha256:{'0' * 64}"},
        {"command": ["sh", "-c", "echo verified > /dev/termination-log"]},
        {"args": ["--help"]},
        {"env": []},
        {"env": [{"name": VARIABLE, "value": "{}"}]},
        {"env": [*ours()["env"], {"name": "PYTHONPATH", "value": MODELS}]},
        {"envFrom": [{"configMapRef": {"name": "c"}}]},
        {"lifecycle": {"postStart": {"exec": {"command": ["true"]}}}},
        {"workingDir": MODELS},
        {"terminationMessagePath": f"{MODELS}/verdict"},
        {"terminationMessagePolicy": "FallbackToLogsOnError"},
        {"volumeMounts": [{"name": VOLUME, "mountPath": "/usr/lib"}]},
        {"volumeMounts": [{"name": "other", "mountPath": MODELS}]},
        {"volumeMounts": [*ours()["volumeMounts"], {"name": "x", "mountPath": "/usr/lib"}]},
    ],
)
def test_a_container_that_differs_is_not_believed(changed: Json) -> None:
    assert read_container({**ours(), **changed}, LOCAL.image) is None


def test_a_pod_that_runs_is_judged_by_what_was_staged_in_it() -> None:
    made = formed(pod(SERVERS))
    weighing = read_weighing(made, LOCAL.image)
    by, uses = snapshot(*POLICIES, *RECORDS), detect(made)
    workload = describe(made, "default", "m", None)
    held = audit(workload, uses, by, NOW, weighing)
    unheld = audit(workload, uses, by, NOW, None)
    assert held is not None
    assert held.against == []
    assert unheld is not None
    assert len(unheld.against) == 3 * len(POLICIES)


ODD: tuple[Any, ...] = (
    *(None, 0, 1.5, True, "", "x", [], {}, [None], {"a": 1}),
    *("acme/base", "--model=evil/x", "$(M)", "Always", CONTAINER, VOLUME),
    {"name": "HF_HUB_OFFLINE", "value": "0"},
    {"name": VOLUME, "mountPath": "/weighmaster/models/x"},
    {"name": VOLUME, "emptyDir": {}},
    {"privileged": True},
)


def test_pods_of_any_shape_are_survived_and_none_that_is_let_in_fetches_anything() -> None:
    by, chance = snapshot(*POLICIES, *RECORDS), random.Random(13)
    bases = [pod(SERVERS), formed(pod(SERVERS))]
    let_in = 0
    for base in bases * 300:
        made: Json = json.loads(json.dumps(base))
        places = [path for path in paths(made["spec"]) if path]
        at: Any = made["spec"]
        *above, last = chance.choice(places)
        for key in above[: (depth := chance.randint(0, len(above)))]:
            at = at[key]
        at[above[depth] if depth < len(above) else last] = chance.choice(ODD)
        final = ask(made, by).document
        assert final is not None
        if ask(dict(final), by, Stage.VALIDATE).response.allowed:
            let_in += 1
            assert not any(map(is_fetched_by_server, detect(final)))
            assert ask(dict(final), by).response.patch == ()
    assert let_in > 50
