"""What the chart renders to, for every case in its ``ci`` folder.

``make renders`` writes the golden files; look at what it changes.
"""

import base64
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.program import CHART, IMAGE, ROOT, Helm, Json, named, settings, strings
from weighmaster.admission.registration import configurations
from weighmaster.api.schema import custom_resource_definitions
from weighmaster.chart.grants import GRANTS, Place, Role
from weighmaster.cli.controller import controller
from weighmaster.cli.webhook import webhook
from weighmaster.core.enforce.confinement.quantities import parse_quantity
from weighmaster.core.installation import Installation
from weighmaster.settings import WebhookSettings

CASES = sorted(CHART.glob("ci/*-values.yaml"))
GOLDENS = Path(__file__).parent / "renders"
COMMANDS = {"webhook": webhook, "controller": controller}
WITHOUT_A_VALUE = {
    "--host": "a pod has one address, and is called by it",
    "--health-host": "the kubelet and Prometheus call it by the same",
    "--standalone": "for where there is no cluster",
    "--policies": "goes with --standalone",
    "--help": "for people",
}
"""Options of both roles that no value sets, and why none does."""

CLUSTER_KINDS = {
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
}


@pytest.fixture(params=CASES, ids=lambda path: path.stem.removesuffix("-values"))
def case(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture
def objects(helm: Helm, case: Path) -> list[Json]:
    return helm.render("--values", str(case))


def of_kind(objects: list[Json], *kinds: str) -> list[Json]:
    return [each for each in objects if each["kind"] in kinds]


def test_chart_has_no_faults(helm: Helm, case: Path) -> None:
    helm("lint", "--strict", "--values", str(case), str(CHART))


def test_render_is_as_it_was_looked_at(helm: Helm, objects: list[Json], case: Path) -> None:
    """All of the default case; of others what they add, change and leave out."""
    name = case.stem.removesuffix("-values")
    golden = GOLDENS / f"{name}.yaml"
    shown = {_key(each): _short(each) for each in objects}
    gone: list[str] = []
    if name != "default":
        usual = {_key(each): _short(each) for each in helm.render(*IMAGE)}
        gone = sorted(usual.keys() - shown.keys())
        shown = {key: each for key, each in shown.items() if usual.get(key) != each}
    text = "".join(f"# without {key}\n" for key in gone)
    text += yaml.safe_dump_all(shown.values(), sort_keys=False, width=100)
    if os.environ.get("UPDATE_RENDERS"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8"), "look at it, then `make renders`"


def _key(rendered: Json) -> str:
    return f"{rendered['kind']} {rendered['metadata']['name']}"


def _short(rendered: Json) -> Json:
    """Without what other tests compare and nobody would read."""
    shortened: Json = json.loads(json.dumps(rendered))
    if shortened["kind"] == "CustomResourceDefinition":
        shortened["spec"] = "..."
    for each in (shortened, *shortened.get("webhooks", ())):
        if "rules" in each:
            each["rules"] = "..."
    if shortened["kind"] == "ConfigMap":
        shortened["data"] = dict.fromkeys(shortened["data"], "...")
    return shortened


def test_every_object_is_labelled_and_in_the_namespace_of_the_release(
    objects: list[Json],
) -> None:
    for each in objects:
        metadata = each["metadata"]
        assert metadata["labels"]["app.kubernetes.io/instance"] == "weighmaster", metadata["name"]
        inside = None if each["kind"] in CLUSTER_KINDS else "weighmaster-system"
        if metadata["name"].endswith("-test") and each["kind"] in {"Role", "RoleBinding"}:
            inside = "default"  # where a pod is asked for
        assert metadata.get("namespace") == inside, metadata["name"]
    counts = Counter((each["kind"], each["metadata"]["name"]) for each in objects)
    assert not [key for key, count in counts.items() if count > 1]


def test_pods_fit_the_restricted_pod_security_standard(objects: list[Json], case: Path) -> None:
    deployments = of_kind(objects, "Deployment")
    assert len(deployments) == 2
    for deployment in deployments:
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "command" not in container
        for volume in pod["volumes"]:
            assert volume.keys() - {"name"} <= {"secret", "emptyDir", "configMap"}
        if pod.get("hostNetwork"):
            assert case.stem == "minimal-values"


def test_arguments_are_ones_that_the_commands_take(objects: list[Json]) -> None:
    for deployment in of_kind(objects, "Deployment"):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        name, *arguments = container["args"]
        with COMMANDS[name].make_context(name, list(arguments)) as context:
            assert context.params
        named_ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert f"--health-port={named_ports['health']}" in arguments
        if name == "webhook":
            assert f"--port={named_ports['https']}" in arguments


def test_every_option_of_both_roles_is_set_by_the_chart_or_has_a_reason_not_to_be(
    helm: Helm,
) -> None:
    given = {
        (role, argument.partition("=")[0])
        for case in CASES
        for role in COMMANDS
        for arguments in _arguments(helm.render("--values", str(case)), role)
        for argument in arguments[1:]
    }
    options = {
        (role, option)
        for role, command in COMMANDS.items()
        for parameter in command.get_params(command.make_context(role, [], resilient_parsing=True))
        for option in parameter.opts
        if option.startswith("--")  # click keeps -h once the command was called by its group
    }
    omitted = options - given
    assert {option for _, option in omitted} == WITHOUT_A_VALUE.keys()
    assert given <= options
    assert not [option for _, option in given if option in WITHOUT_A_VALUE]


@pytest.mark.parametrize("value", [1, 2.5, "500m", "1.5", 268435456, "0.5Gi"])
def test_verifier_is_given_what_the_values_say_and_the_webhook_takes_it(
    helm: Helm, value: float | str
) -> None:
    objects = helm.render(*IMAGE, *settings(verifier={"cpu": value, "memory": value}))
    (arguments,) = _arguments(objects, "webhook")
    with webhook.make_context("webhook", arguments[1:]) as context:
        amounts = {context.params[f"verifier_{name}"] for name in ("cpu", "memory")}
    (amount,) = amounts
    assert parse_quantity(amount) == parse_quantity(value)
    WebhookSettings(
        certificate=Path(),
        key=Path(),
        installation=Installation(verifier_cpu=amount, verifier_memory=amount),
    )


def test_pods_are_selected_by_their_service_budget_and_policy(objects: list[Json]) -> None:
    for deployment in of_kind(objects, "Deployment"):
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        component = labels["app.kubernetes.io/component"]
        selectors = [deployment["spec"]["selector"]["matchLabels"]]
        for each in of_kind(objects, "Service", "PodDisruptionBudget", "NetworkPolicy"):
            spec = each["spec"]
            selector = spec.get("podSelector") or spec["selector"]
            selector = selector.get("matchLabels", selector)
            if selector["app.kubernetes.io/component"] == component:
                selectors.append(selector)
        assert all(selector.items() <= labels.items() for selector in selectors)
        other = {"webhook": "controller", "controller": "webhook"}[component]
        assert not any(other in selector.values() for selector in selectors)


def test_no_secret_is_in_the_render(objects: list[Json]) -> None:
    for each in of_kind(objects, "Secret"):
        assert "data" not in each
        assert "stringData" not in each


def test_webhook_configurations_are_those_of_the_code(helm: Helm) -> None:
    objects = helm.render(*IMAGE)
    service = {"name": "weighmaster-webhook", "namespace": "weighmaster-system", "port": 443}
    exempt = ("kube-system", "weighmaster-system")
    for expected in configurations({"service": service}, exempt):
        rendered = named(objects, expected["kind"], "weighmaster")
        assert rendered["webhooks"] == expected["webhooks"]


def test_own_namespace_is_exempt_whatever_the_values_say(helm: Helm) -> None:
    objects = helm.render(*IMAGE, *settings(admission__exemptNamespaces=[]))
    for configuration in of_kind(
        objects, "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"
    ):
        for each in configuration["webhooks"]:
            (expression,) = each["namespaceSelector"]["matchExpressions"]
            assert expression["key"] == "kubernetes.io/metadata.name"
            assert expression["values"] == ["weighmaster-system"]


def test_conditions_of_the_installation_come_beside_ours(helm: Helm) -> None:
    condition = {"name": "x", "expression": "true"}
    plain = helm.render(*IMAGE)
    more = helm.render(*IMAGE, *settings(admission__matchConditions=[condition]))
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        before = named(plain, kind, "weighmaster")["webhooks"]
        after = named(more, kind, "weighmaster")["webhooks"]
        for old, new in zip(before, after, strict=True):
            assert new["matchConditions"] == [*old.get("matchConditions", []), condition]


def test_rights_are_those_of_the_code(helm: Helm) -> None:
    objects = helm.render(*IMAGE)
    for role in Role:
        for place, kind in ((Place.CLUSTER, "ClusterRole"), (Place.OWN_NAMESPACE, "Role")):
            grants = [each for each in GRANTS if (each.role, each.place) == (role, place)]
            name = f"weighmaster-{role}"
            rendered = [each for each in of_kind(objects, kind) if each["metadata"]["name"] == name]
            rules = rendered[0]["rules"] if rendered else []
            assert len(rules) == len(grants)
            for rule, grant in zip(rules, grants, strict=True):
                assert rule["resources"] == list(grant.resources)
                assert rule["verbs"] == list(grant.verbs)
                assert ("resourceNames" in rule) == (grant.name is not None)


def test_service_accounts_have_no_wildcard_and_the_webhook_reads_no_secret(helm: Helm) -> None:
    objects = helm.render(*IMAGE)
    for each in of_kind(objects, "ClusterRole", "Role"):
        if not each["metadata"]["name"].endswith(("-webhook", "-controller")):
            continue
        for rule in each["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            if each["metadata"]["name"].endswith("-webhook"):
                assert not {"secrets", "configmaps"} & set(rule["resources"])


def test_rights_about_certificates_go_where_another_keeps_them(helm: Helm) -> None:
    def resources(*arguments: str) -> set[tuple[str, ...]]:
        rules = [
            (*rule["resources"], *rule["verbs"])
            for each in of_kind(helm.render(*IMAGE, *arguments), "ClusterRole", "Role")
            if each["metadata"]["name"] == "weighmaster-controller"
            for rule in each["rules"]
        ]
        return set(rules)

    usual = resources()
    cert_manager = usual - resources(*settings(certificates__source="cert-manager"))
    webhooks = ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")
    assert cert_manager == {
        (*webhooks, "get", "update"),
        ("secrets", "create"),
        ("secrets", "update"),
    }
    supplied = settings(certificates__source="secret", certificates__secret__name="a")
    assert usual - resources(*supplied) == {("secrets", "create"), ("secrets", "update")}
    bundle = "-----BEGIN CERTIFICATE-----\n"
    given = settings(certificates__secret__caBundle=bundle)
    assert usual - resources(*supplied, *given) == cert_manager


def test_bundle_of_ones_own_is_in_every_webhook(helm: Helm) -> None:
    bundle = "-----BEGIN CERTIFICATE-----\n"
    objects = helm.render(
        *IMAGE,
        *settings(
            certificates__source="secret",
            certificates__secret__name="a",
            certificates__secret__caBundle=bundle,
        ),
    )
    found = [
        each["clientConfig"]["caBundle"]
        for configuration in of_kind(
            objects, "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"
        )
        for each in configuration["webhooks"]
    ]
    assert len(found) > 2
    assert set(found) == {base64.b64encode(bundle.encode()).decode()}
    (controller_args,) = _arguments(objects, "controller")
    assert not [each for each in controller_args if each.startswith("--serving-secret")]


def _arguments(objects: list[Json], role: str) -> list[list[str]]:
    return [
        each["spec"]["template"]["spec"]["containers"][0]["args"]
        for each in of_kind(objects, "Deployment")
        if each["metadata"]["name"].endswith(f"-{role}")
    ]


@pytest.mark.parametrize("keep", [True, False])
def test_definitions_are_those_of_the_code_and_stay_unless_told_otherwise(
    helm: Helm, keep: bool
) -> None:
    objects = of_kind(helm.render(*IMAGE, *settings(crds__keep=keep)), "CustomResourceDefinition")
    expected = {each["metadata"]["name"]: each for each in custom_resource_definitions().values()}
    assert {each["metadata"]["name"] for each in objects} == expected.keys()
    for each in objects:
        assert each["spec"] == expected[each["metadata"]["name"]]["spec"]
        annotations = each["metadata"].get("annotations")
        assert annotations == ({"helm.sh/resource-policy": "keep"} if keep else None)


def test_definitions_fit_into_the_annotation_of_client_side_apply() -> None:
    """``kubectl apply`` keeps the object in an annotation; all of them hold 262,144 bytes."""
    for path in (ROOT / "crds").glob("*.yaml"):
        definition = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert len(json.dumps(definition)) < 262_144 * 0.8, f"{path.name} comes near the limit"


def test_names_stay_short_enough_whatever_the_release_is_called(helm: Helm) -> None:
    long = "r" * 53
    text = helm("template", long, str(CHART), *IMAGE).stdout
    for each in yaml.safe_load_all(text):
        if each and each["kind"] in {"Service", "Deployment"}:
            assert len(each["metadata"]["name"]) <= 63


def test_placeholders_of_alerts_and_dashboard_are_filled(helm: Helm) -> None:
    objects = helm.render("--values", str(CHART / "ci" / "production-values.yaml"))
    (rule,) = of_kind(objects, "PrometheusRule")
    for text in strings(rule["spec"]):
        assert not [word for word in ("NAMESPACE", "WEBHOOK", "CONTROLLER") if word in text]
    (dashboard,) = of_kind(objects, "ConfigMap")
    parsed: Any = json.loads(dashboard["data"]["weighmaster.json"])
    assert parsed["panels"]
