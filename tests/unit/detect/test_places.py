"""Where in its pod a container finds the weights that it loads."""

from typing import Any

from weighmaster.core.detect import detect
from weighmaster.core.detect.volumes import MAX_PLACES, UNTOLD
from weighmaster.core.values import ModelUse, Place, Role

COMMIT = "a" * 40
Json = dict[str, Any]


def pod(
    containers: list[Json], volumes: list[Json], init: list[Json] | None = None, kind: str = "Pod"
) -> Json:
    spec = {"containers": containers, "volumes": volumes, "initContainers": init or []}
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "p"}, "spec": spec}


def vllm(*arguments: str, mounts: list[Json], **fields: Any) -> Json:
    return {
        "name": "vllm",
        "image": "vllm/vllm-openai:v0.11.0",
        "args": list(arguments),
        "volumeMounts": mounts,
        **fields,
    }


def fetch(script: str, *mounts: Json) -> Json:
    command = ["sh", "-c", script]
    return {
        "name": "fetch",
        "image": "python:3.12",
        "command": command,
        "volumeMounts": list(mounts),
    }


def mount(name: str, path: str, **fields: Any) -> Json:
    return {"name": name, "mountPath": path, **fields}


CLAIM = {"name": "v", "persistentVolumeClaim": {"claimName": "models"}}
EMPTY: Json = {"name": "v", "emptyDir": {}}


def uses(document: Json) -> dict[tuple[str, str], ModelUse]:
    return {(use.reference.canonical, use.role): use for use in detect(document)}


def places(document: Json, reference: str, role: Role = Role.BASE) -> tuple[Place, ...]:
    return uses(document)[reference, role].places


def test_a_path_on_a_claim_is_a_place_in_its_volume() -> None:
    document = pod([vllm("--model=/models/llama/", mounts=[mount("v", "/models/")])], [CLAIM])
    assert places(document, "pvc://models/llama") == (
        Place(
            volume="v",
            source="persistentVolumeClaim",
            mount="/models",
            inside="/llama",
            root="/llama",
            store="pvc://models/llama",
        ),
    )


def test_a_sub_path_is_part_of_the_path_in_the_volume() -> None:
    mounts = [mount("v", "/models", subPath="team/a")]
    document = pod([vllm("--model=/models/llama", mounts=mounts)], [CLAIM])
    (place,) = places(document, "pvc://models/team/a/llama")
    assert (place.inside, place.mount) == ("/team/a/llama", "/models")


def test_what_an_init_container_fetches_lies_where_it_was_fetched_to() -> None:
    script = f"hf download acme/m --revision {COMMIT} --local-dir /data/m"
    init = fetch(script, mount("v", "/data"))
    server = vllm("--model=/models/m", mounts=[mount("v", "/models")])
    document = pod([server], [EMPTY], [init])
    (place,) = places(document, f"hf://acme/m@{COMMIT}")
    assert (place.inside, place.root, place.source) == ("/m", "/m", "emptyDir")
    assert (place.store, place.fetchers) == ("", ("fetch",))


def test_what_is_fetched_to_a_claim_is_also_what_lay_there_before() -> None:
    script = f"hf download acme/m --revision {COMMIT} --local-dir /data/m"
    init = fetch(script, mount("v", "/data"))
    server = vllm("--model=/models/m/sub", mounts=[mount("v", "/models")])
    document = pod([server], [CLAIM], [init])
    (fetched,) = places(document, f"hf://acme/m@{COMMIT}")
    (stored,) = places(document, "pvc://models/m/sub")
    assert (fetched.inside, fetched.root, fetched.store) == ("/m/sub", "/m", "pvc://models/m")
    assert (stored.root, stored.store, stored.fetchers) == ("/m/sub", "pvc://models/m/sub", ())


def test_what_a_server_fetches_itself_into_a_volume_names_the_server() -> None:
    script = f"hf download acme/m --revision {COMMIT} --local-dir /models/m && vllm serve /models/m"
    server = vllm(mounts=[mount("v", "/models")], command=["sh", "-c", script])
    (place,) = places(pod([server], [EMPTY]), f"hf://acme/m@{COMMIT}")
    assert place.fetchers == ("vllm",)


def test_what_a_server_fetches_from_a_hub_has_no_place() -> None:
    document = pod([vllm("--model=acme/m", mounts=[mount("v", "/root/.cache")])], [CLAIM])
    assert places(document, "hf://acme/m") == ()


def test_one_reference_at_two_paths_has_two_places() -> None:
    script = "hf download acme/m --local-dir /data/a && hf download acme/m --local-dir /data/b"
    init = fetch(script, mount("v", "/data"))
    server = vllm("--model=/data/a", "--tokenizer=/data/b", mounts=[mount("v", "/data")])
    document = pod([server], [EMPTY], [init])
    for role in (Role.BASE, Role.TOKENIZER):
        assert {place.root for place in places(document, "hf://acme/m", role)} == {"/a", "/b"}


def test_each_container_has_places_of_its_own() -> None:
    one = vllm("--model=/a/m", mounts=[mount("v", "/a")])
    two = vllm("--model=/b/m", mounts=[mount("v", "/b")], name="second")
    found = [
        (use.process.container, use.places[0].mount) for use in detect(pod([one, two], [CLAIM]))
    ]
    assert found == [("vllm", "/a"), ("second", "/b")]


def test_the_longest_mount_over_a_path_counts() -> None:
    mounts = [mount("v", "/models"), mount("w", "/models/llama")]
    other = {"name": "w", "hostPath": {"path": "/srv/llama"}}
    document = pod([vllm("--model=/models/llama/8b", mounts=mounts)], [CLAIM, other])
    (place,) = places(document, "hostpath:///srv/llama/8b")
    assert (place.volume, place.source, place.mount) == ("w", "hostPath", "/models/llama")


def test_an_image_volume_is_a_place_whether_or_not_a_server_names_it() -> None:
    image = {"name": "v", "image": {"reference": f"ghcr.io/acme/llama@sha256:{'a' * 64}"}}
    reference = f"oci://ghcr.io/acme/llama@sha256:{'a' * 64}"
    named = pod([vllm("--model=/models", mounts=[mount("v", "/models")])], [image])
    assert places(named, reference)[0].source == "image"
    unnamed = pod([{"name": "web", "image": "nginx"}], [image])
    assert places(unnamed, reference)[0].source == "image"


def test_a_volume_that_nobody_declares_is_one_of_a_claim_template() -> None:
    document = pod([vllm("--model=/models/m", mounts=[mount("data", "/models")])], [])
    (place,) = places(document, "pvc://data/m")
    assert (place.volume, place.source, place.store) == ("data", "", "pvc://data/m")


def test_python_code_that_loads_from_a_volume_has_a_place() -> None:
    code = "from vllm import LLM; LLM('/models/a')"
    server = vllm(mounts=[mount("v", "/models")], command=["python", "-c", code])
    assert places(pod([server], [CLAIM]), "pvc://models/a")[0].inside == "/a"


def test_more_places_than_are_told_apart_are_said_to_be_elsewhere() -> None:
    script = "hf download acme/m --local-dir /data"
    init = fetch(script, mount("v", "/data"))
    adapters = [f"a{n}=/data/lora-{n}" for n in range(MAX_PLACES + 10)]
    server = vllm("--lora-modules", *adapters, mounts=[mount("v", "/data")])
    found = places(pod([server], [EMPTY], [init]), "hf://acme/m", Role.ADAPTER)
    assert len(found) == MAX_PLACES + 1
    assert found[-1] == UNTOLD
