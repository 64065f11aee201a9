{{- define "weighmaster.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* Prefix of all names. Cut, since "-controller" and the like follow it. */}}
{{- define "weighmaster.fullname" -}}
{{- $name := include "weighmaster.name" . }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | trunc 48 | trimSuffix "-" }}
{{- end }}

{{- define "weighmaster.webhook.fullname" -}}
{{ include "weighmaster.fullname" . }}-webhook
{{- end }}

{{- define "weighmaster.controller.fullname" -}}
{{ include "weighmaster.fullname" . }}-controller
{{- end }}

{{- define "weighmaster.webhook.serviceAccountName" -}}
{{ default (include "weighmaster.webhook.fullname" .) .Values.webhook.serviceAccount.name }}
{{- end }}

{{- define "weighmaster.controller.serviceAccountName" -}}
{{ default (include "weighmaster.controller.fullname" .) .Values.controller.serviceAccount.name }}
{{- end }}

{{- define "weighmaster.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
app.kubernetes.io/name: {{ include "weighmaster.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* Labels of a role's pods: (dict "root" $ "role" "webhook") */}}
{{- define "weighmaster.selectorLabels" -}}
app.kubernetes.io/name: {{ include "weighmaster.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "weighmaster.image" -}}
{{- $repository := required "image.repository: where is the image? Build it with `make image`, push it, and name it here" .Values.image.repository }}
{{- if .Values.image.digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{- /* The Secret that the webhook serves from. */}}
{{- define "weighmaster.servingSecret" -}}
{{- if eq .Values.certificates.source "secret" }}
{{- required "certificates.secret.name: which Secret has the certificate?" .Values.certificates.secret.name }}
{{- else }}
{{- include "weighmaster.webhook.fullname" . }}-tls
{{- end }}
{{- end }}

{{- /* Not empty where the controller issues the serving certificate. */}}
{{- define "weighmaster.issuesCertificates" -}}
{{- if eq .Values.certificates.source "builtin" }}true{{ end }}
{{- end }}

{{- /* Not empty where the controller has the webhook configurations trust it. */}}
{{- define "weighmaster.keepsTrust" -}}
{{- $given := and (eq .Values.certificates.source "secret") .Values.certificates.secret.caBundle }}
{{- if and (ne .Values.certificates.source "cert-manager") (not $given) }}true{{ end }}
{{- end }}

{{- define "weighmaster.caBundle" -}}
{{- if eq .Values.certificates.source "secret" }}
{{- with .Values.certificates.secret.caBundle }}{{ b64enc . }}{{ end }}
{{- end }}
{{- end }}

{{- define "weighmaster.webhookAnnotations" -}}
{{- with .Values.admission.annotations }}
{{- toYaml . }}
{{- end }}
{{- if eq .Values.certificates.source "cert-manager" }}
cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/{{ include "weighmaster.webhook.fullname" . }}
{{- end }}
{{- end }}

{{- /* Names by which the webhook is called: YAML list */}}
{{- define "weighmaster.servingNames" -}}
{{- $name := include "weighmaster.webhook.fullname" . }}
- {{ $name }}.{{ .Release.Namespace }}.svc
- {{ $name }}.{{ .Release.Namespace }}
- {{ $name }}.{{ .Release.Namespace }}.svc.cluster.local
{{- range .Values.certificates.extraNames }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{- /* Our own namespace is always exempt: our pods must be able to start before we answer. */}}
{{- define "weighmaster.exemptNamespaces" -}}
{{- append .Values.admission.exemptNamespaces .Release.Namespace | uniq | toJson }}
{{- end }}

{{- /* What both pods have: (dict "root" $ "role" "webhook" "values" .Values.webhook) */}}
{{- define "weighmaster.podMetadata" -}}
labels:
  {{- include "weighmaster.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .role }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  kubectl.kubernetes.io/default-container: {{ .role }}
  {{- with .values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "weighmaster.podSpec" -}}
serviceAccountName: {{ include (printf "weighmaster.%s.serviceAccountName" .role) .root }}
automountServiceAccountToken: true
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
{{- toYaml . | nindent 0 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  seccompProfile:
    type: RuntimeDefault
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
{{- range . }}
- {{ pick . "key" "operator" "value" "effect" "tolerationSeconds" | toJson }}
{{- end }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- if .values.topologySpreadConstraints }}
{{- toYaml .values.topologySpreadConstraints | nindent 0 }}
{{- else }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "weighmaster.selectorLabels" $ | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}
{{- end }}

{{- define "weighmaster.containerBasics" -}}
image: {{ include "weighmaster.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
resources:
  {{- toYaml .values.resources | nindent 2 }}
{{- end }}

{{- /* An outage of the API server is no reason to be restarted: only the process itself counts. */}}
{{- define "weighmaster.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: health}
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /livez, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 3
  timeoutSeconds: 3
  failureThreshold: 2
{{- end }}

{{- define "weighmaster.disruptionBudget" -}}
{{- $budget := .values.disruptionBudget }}
{{- if and $budget.enabled (gt (int .values.replicas) 1) }}
{{- if and (not (kindIs "string" $budget.minAvailable)) (ge (int $budget.minAvailable) (int .values.replicas)) }}
{{- fail (printf "%s.disruptionBudget.minAvailable: with %d of %d replicas no node could ever be drained" .role (int $budget.minAvailable) (int .values.replicas)) }}
{{- end }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "weighmaster.fullname" .root }}-{{ .role }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "weighmaster.labels" .root | nindent 4 }}
spec:
  minAvailable: {{ $budget.minAvailable }}
  # A replica that is not ready keeps no node from being drained.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "weighmaster.selectorLabels" . | nindent 6 }}
{{- end }}
{{- end }}

{{- define "weighmaster.serviceAccount" -}}
{{- if .values.serviceAccount.create }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include (printf "weighmaster.%s.serviceAccountName" .role) .root }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "weighmaster.labels" .root | nindent 4 }}
  {{- with .values.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
# The pods ask for their token themselves; nothing else that names this account gets one.
automountServiceAccountToken: false
{{- end }}
{{- end }}
