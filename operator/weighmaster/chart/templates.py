"""Templates of the chart that follow from the code: rights and webhook configurations.

They are written as a person would write them, since that is who reads them: only names and the
settings of the installation are template expressions.
"""

import json
import re
import textwrap
from collections.abc import Iterable
from itertools import groupby
from typing import Any

import yaml

from weighmaster.admission.registration import configurations
from weighmaster.chart.grants import GRANTS, Grant, Named, Place, Role, rule

Json = dict[str, Any]

NOTICE = "{{- /* Generated from operator/weighmaster by `make generate`; do not edit. */}}\n"

_WIDTH = 100

_NAMES = {
    Named.SERVING_SECRET: '{{ include "weighmaster.servingSecret" . }}',
    Named.CONFIGURATION: '{{ include "weighmaster.fullname" . }}',
    Named.LEASE: "weighmaster-controller",
}

_LABELS = '{{- include "weighmaster.labels" . | nindent 4 }}'


def rights_template(role: Role) -> str:
    """The roles and bindings of one role's service account."""
    parts = [
        _rights(role, place, [g for g in GRANTS if (g.role, g.place) == (role, place)])
        for place in Place
    ]
    return (
        NOTICE + "{{- if .Values.rbac.create }}\n" + "".join(filter(None, parts)) + "{{- end }}\n"
    )


def _rights(role: Role, place: Place, grants: list[Grant]) -> str:
    if not grants:
        return ""
    kind = "ClusterRole" if place is Place.CLUSTER else "Role"
    rules = ""
    for when, group in groupby(grants, lambda grant: grant.when):
        text = "".join(map(_rule, group))
        rules += f'{{{{- if include "{when}" . }}}}\n{text}{{{{- end }}}}\n' if when else text
    name = f'{{{{ include "weighmaster.fullname" . }}}}-{role}'
    # A name of the cluster's is in use by every installation in it.
    where = "" if place is Place.CLUSTER else "\n  namespace: {{ .Release.Namespace }}"
    return f"""\
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {kind}
metadata:
  name: {name}{where}
  labels:
    {_LABELS}
rules:
{rules}---
apiVersion: rbac.authorization.k8s.io/v1
kind: {kind}Binding
metadata:
  name: {name}{where}
  labels:
    {_LABELS}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {kind}
  name: {name}
subjects:
- kind: ServiceAccount
  name: {{{{ include "weighmaster.{role}.serviceAccountName" . }}}}
  namespace: {{{{ .Release.Namespace }}}}
"""


def _rule(grant: Grant) -> str:
    comment = textwrap.indent("\n".join(textwrap.wrap(grant.reason, _WIDTH - 2)), "# ")
    text = _yaml([rule(grant, _NAMES)])
    return f"{comment}\n{text}"


_BUNDLE = """\
    {{- with include "weighmaster.caBundle" . }}
    caBundle: {{ . }}
    {{- end }}
"""

_PLACEHOLDERS = {
    "SERVICE": '{{ include "weighmaster.webhook.fullname" . }}',
    "NAMESPACE": "{{ .Release.Namespace }}",
    "EXEMPT": '{{ include "weighmaster.exemptNamespaces" . }}',
    "FAILURE_POLICY": "{{ .Values.admission.failurePolicy }}",
    "TIMEOUT": "{{ .Values.admission.timeoutSeconds }}",
}


def webhooks_template() -> str:
    """Both webhook configurations, as ``admission.registration`` has them."""
    service = {"name": "@SERVICE@", "namespace": "@NAMESPACE@", "port": 443}
    documents = [
        _webhooks(configuration)
        for configuration in configurations({"service": service}, ("@EXEMPT@",))
    ]
    text = "".join(documents).replace("    '@BUNDLE@': null\n", _BUNDLE)
    for name, expression in _PLACEHOLDERS.items():
        text = re.sub(rf"'?@{name}@'?", expression, text)
    return NOTICE + "{{- if .Values.admission.register }}\n" + text + "{{- end }}\n"


def _webhooks(configuration: Json) -> str:
    webhooks = []
    for webhook in configuration["webhooks"]:
        client = {**webhook["clientConfig"], "@BUNDLE@": None}
        changed = {
            **webhook,
            "clientConfig": client,
            "failurePolicy": "@FAILURE_POLICY@",
            "timeoutSeconds": "@TIMEOUT@",
        }
        selector = json.loads(json.dumps(webhook["namespaceSelector"]))
        for expression in selector["matchExpressions"]:
            if expression["values"] == ["@EXEMPT@"]:
                expression["values"] = "@EXEMPT@"
        conditions = changed.pop("matchConditions", [])
        text = _yaml([{**changed, "namespaceSelector": selector}])
        webhooks.append(text + _conditions(conditions))
    return f"""\
---
apiVersion: {configuration["apiVersion"]}
kind: {configuration["kind"]}
metadata:
  name: {{{{ include "weighmaster.fullname" . }}}}
  labels:
    {_LABELS}
  {{{{- with include "weighmaster.webhookAnnotations" . }}}}
  annotations:
    {{{{- . | nindent 4 }}}}
  {{{{- end }}}}
webhooks:
{"".join(webhooks)}"""


def _conditions(ours: list[Json]) -> str:
    """Conditions of ours and of the installation; all must be true for a request to be sent."""
    head = "  matchConditions:\n"
    within = "  {{- with .Values.admission.matchConditions }}\n"
    theirs = "  {{- toYaml . | nindent 2 }}\n  {{- end }}\n"
    if ours:
        return head + textwrap.indent(_yaml(ours), "  ") + within + theirs
    return within + head + theirs


def _yaml(value: object) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=_WIDTH, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Lists of plain texts on one line, as in the rest of the chart."""

    def represent_list(self, items: Iterable[Any]) -> yaml.SequenceNode:
        items = list(items)
        flow = all(isinstance(item, str) and len(item) < _WIDTH // 2 for item in items)
        return self.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=flow)

    def ignore_aliases(self, _data: Any) -> bool:
        return True


_Dumper.add_representer(list, _Dumper.represent_list)
