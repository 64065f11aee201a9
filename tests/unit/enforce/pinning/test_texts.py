"""Python, JSON and YAML with a revision put beside a model's name."""

import ast
import json
from typing import Any

import pytest

from weighmaster.core import references
from weighmaster.core.detect.yamltree import parse_text
from weighmaster.core.enforce.pinning.code import CALLS, in_call, in_document
from weighmaster.core.enforce.pinning.edits import Edit, apply
from weighmaster.core.enforce.pinning.forms import Form
from weighmaster.core.enforce.pinning.lines import Asked
from weighmaster.core.enforce.pinning.yamltext import in_yaml
from weighmaster.core.values import ModelUse, Process, Role

SHA = "a" * 40


def asked(reason: str, role: Role = Role.BASE) -> Asked:
    reference = references.hugging_face("org/m")
    use = ModelUse(reference, role, "x", Process(runtime="any"), reason)
    return Asked(use, Form(member="revision"), SHA)


def made(text: str, edits: list[Edit] | None) -> str | None:
    return None if edits is None else str(apply({"x": text}, edits)["x"])


@pytest.mark.parametrize("call", sorted(CALLS))
@pytest.mark.parametrize(
    "arguments",
    [
        "'org/m'",
        '"org/m", local_dir="/models"',
        "'org/m', 'file.bin', token=None",
        "'org/m', x",
        "repo_id='org/m', allow_patterns=['*.json', \"*.bin\"],",
        "model = 'org/m' , revision = 'main'",
        "\n    repo_id='org/m',\n    local_dir=target,\n",
        "name, model='org/m'",
    ],
)
def test_a_call_gets_one_revision_and_stays_python(call: str, arguments: str) -> None:
    name = "AutoModel.from_pretrained" if call == "from_pretrained" else call
    code = f"print('org/m')\nresult = {name}({arguments})\n"
    text = made(code, in_call(code, ("x",), asked(call)))
    assert text is not None
    tree = ast.parse(text)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    revisions = [
        ast.literal_eval(keyword.value)
        for node in calls
        for keyword in node.keywords
        if keyword.arg == "revision"
    ]
    assert revisions == [SHA]
    assert text.startswith("print('org/m')\n")


@pytest.mark.parametrize(
    "code",
    [
        "snapshot_download(name)",
        "snapshot_download('org/m' + suffix)",
        "snapshot_download('org/m', **options)",
        "snapshot_download('org/m', callback=lambda: f(1, (2)))",
        "snapshot_download('org/m'",
        "Llama.from_pretrained('org/m')",
    ],
)
def test_a_call_that_is_not_plain_is_left_alone(code: str) -> None:
    reason = "from_pretrained" if "pretrained" in code else "snapshot_download"
    assert in_call(code, ("x",), asked(reason)) is None


@pytest.mark.parametrize(
    "quoted",
    ["snapshot_download('org/m')", 'snapshot_download("org/m")', 'snapshot_download(\\"org/m\\")'],
)
def test_the_quotes_are_those_of_the_name(quoted: str) -> None:
    text = made(quoted, in_call(quoted, ("x",), asked("snapshot_download")))
    mark = quoted[quoted.index("(") + 1 : quoted.index("org")]
    assert text == quoted.replace(f"org/m{mark}", f"org/m{mark}, revision={mark}{SHA}{mark}")


@pytest.mark.parametrize(
    "document",
    [
        {"model": "org/m"},
        {"method": "eagle", "model": "org/m", "k": 3},
        {"model": "org/m", "revision": "main", "nested": {"x": [1]}},
    ],
)
def test_a_configuration_gets_one_revision_and_keeps_the_rest(document: dict[str, Any]) -> None:
    for text in (json.dumps(document), f"--sc={json.dumps(document)}"):
        found = made(text, in_document(text, ("x",), asked("speculative configuration")))
        assert found is not None
        assert json.loads(found.removeprefix("--sc=")) == {**document, "revision": SHA}


def test_a_configuration_that_names_the_model_twice_is_left_alone() -> None:
    text = '{"model": "org/m", "other": {"model": "org/m"}}'
    assert in_document(text, ("x",), asked("speculative configuration")) is None


TEXTS = [
    """
applications:
- args:
    llm_configs:
    - model_loading_config: {model_id: org/m}
""",
    """# a
args:
  llm_configs:
  - model_loading_config:
      model_id: x
      model_source: 'org/m'  # b
    engine_kwargs:
      a: 1
""",
    '{"args": {"llm_configs": [{"model_loading_config": {"model_id": "org/m"}}]}}',
    """
args: {llm_configs: [{model_loading_config: {model_id: org/m},
  engine_kwargs: {revision: x}}]}
""",
    """
args:
  llm_configs:
  - engine_kwargs:
      revision: main # why
    model_loading_config:
      model_id: org/m
""",
    """
ü: é
args:
  llm_configs:
  - model_loading_config: {model_id: org/m, ß: ö}
""",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_configuration_of_ray_gets_one_revision_and_keeps_the_rest(text: str) -> None:
    found = made(text, in_yaml(text, ("x",), asked("Serve configuration")))
    assert found is not None
    assert found.count(SHA) == 1
    for comment in ("# a", "# b", "# why"):
        assert (comment in found) == (comment in text)
    tree = parse_text(found)
    application = tree["applications"][0] if "applications" in tree else tree
    config = application["args"]["llm_configs"][0]
    assert config["engine_kwargs"]["revision"] == SHA


@pytest.mark.parametrize(
    "text",
    [
        "model_loading_config: &a {model_id: org/m}",
        "a: {model_loading_config: {model_id: org/m}, engine_kwargs: null}",
        "a: {model_loading_config: {model_id: org/m}, engine_kwargs: {}}",
        "a: {model_loading_config: {model_id: other/m}}",
        "a: {model_loading_config: {model_id: org/m}}\n---\nb: 1",
        "a: [",
        "[" * 100,
        "a: {model_loading_config: {model_id: org/m, model_id: org/m}}",
    ],
)
def test_a_configuration_that_is_not_plain_is_left_alone(text: str) -> None:
    assert in_yaml(text, ("x",), asked("Serve configuration")) is None
