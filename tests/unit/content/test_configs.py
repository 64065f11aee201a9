"""Code that configurations ask for."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hub.repositories import gguf
from weighmaster.core.content.configs import ConfigFacts, read_config
from weighmaster.core.content.magic import examine
from weighmaster.core.content.reading import run
from weighmaster.core.content.summary import Examination, complete_card, summarise
from weighmaster.core.evidence import CardFacts, GapReason


def read(text: str) -> ConfigFacts:
    facts, gaps = read_config("config.json", text.encode())
    assert not gaps
    return facts


def test_auto_map_names_the_models_own_classes() -> None:
    facts = read('{"auto_map": {"AutoModel": "modeling_x.X", "AutoConfig": ["c.A", null]}}')
    assert set(facts.auto_map) == {"modeling_x.X", "c.A"}
    assert not facts.foreign


@pytest.mark.parametrize(
    "text",
    [
        '{"auto_map": {"AutoModel": "evil/repo--modeling.X"}}',
        '{"auto_map": {"AutoTokenizer": ["evil/repo--t.A", null]}}',
        '{"vision_config": {"auto_map": {"AutoModel": "evil/repo--m.X"}}}',
        '{"auto_map": {"AutoModel": "evil/repo--m.X"}, "auto_map": {}}',
        '[{"type": "evil/repo--custom.Transformer"}]',
    ],
)
def test_code_of_another_repository_is_named_wherever_it_is(text: str) -> None:
    assert read(text).foreign == ("hf://evil/repo",)


def test_a_class_of_another_repository_need_not_look_like_one() -> None:
    """The loader splits at the dashes, whatever is on either side."""
    assert read('{"auto_map": {"AutoModel": "evil--m-1.X"}}').foreign == ("hf://evil",)
    assert read('{"auto_map": "evil/repo--"}').foreign == ("hf://evil/repo",)


def test_dashes_in_ordinary_values_are_no_code() -> None:
    assert read('{"eos": "<--", "note": "a--b", "url": "x/y--"}') == ConfigFacts()


def test_an_adapter_names_its_base_and_a_model_its_architecture() -> None:
    facts = read('{"base_model_name_or_path": "acme/base", "architectures": ["LlamaForCausalLM"]}')
    assert facts.base_model == "acme/base"
    assert facts.architectures == ("LlamaForCausalLM",)


@pytest.mark.parametrize("text", ["{", "\x00", '{"a": ' + "[" * 200_000, "9" * 5000])
def test_a_configuration_that_cannot_be_read_is_a_gap(text: str) -> None:
    _, gaps = read_config("config.json", text.encode())
    assert [gap.reason for gap in gaps] == [GapReason.CONFIG_MALFORMED]


def test_numbers_that_only_python_reads_do_not_hide_code() -> None:
    assert read('{"x": NaN, "auto_map": {"A": "m.X"}}').auto_map == ("m.X",)


def test_more_code_than_can_be_listed_is_a_gap() -> None:
    text = json.dumps({"auto_map": [f"m.X{n}" for n in range(1000)]})
    _, gaps = read_config("config.json", text.encode())
    assert [gap.reason for gap in gaps] == [GapReason.CONFIG_MALFORMED]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just("a/b--c.D"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.just("auto_map"), inner, max_size=4)
    ),
    max_leaves=30,
)


@given(json_values)
@settings(deadline=None)
def test_no_json_makes_the_reader_raise(value: object) -> None:
    read_config("config.json", json.dumps(value).encode())


def test_python_files_and_generation_code_are_code() -> None:
    names = ("modeling.py", "custom_generate/generate.py", "custom_generate/requirements.txt")
    facts, _ = summarise([Examination(name, 0, None) for name in names], [])
    assert facts.code.present
    assert facts.code.files == 2
    assert facts.code.custom_generate
    plain, _ = summarise([Examination("config.json", 0, None)], [("config.json", ConfigFacts())])
    assert not plain.code.present


def test_lists_are_clipped_and_counted() -> None:
    facts, _ = summarise([Examination(f"{n}.py", 1, None) for n in range(1000)], [])
    assert len(facts.code.python) == 64
    assert facts.code.files == 1000


def test_a_gguf_header_fills_in_what_the_card_does_not_say() -> None:
    content = gguf({
        "general.license": "apache-2.0",
        "general.base_model.count": 1,
        "general.base_model.0.repo_url": "https://huggingface.co/acme/base",
    })  # fmt: skip
    file = Examination("m.gguf", len(content), run(examine(len(content), limit=9999), content))
    card, gaps = complete_card(CardFacts(), [file])
    assert card.license == "Apache-2.0"
    assert card.base_models == ("hf://acme/base",)
    assert card.source == "m.gguf"
    assert not gaps
    silent, _ = complete_card(CardFacts(license="MIT", base_models=("hf://a/b",)), [file])
    assert silent.license == "MIT"
    assert silent.base_models == ("hf://a/b",)
