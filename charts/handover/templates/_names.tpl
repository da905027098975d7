{{/* The name of everything that is created. */}}
{{- define "handover.fullname" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "handover.serviceAccount" -}}
{{- default (include "handover.fullname" .) .Values.serviceAccount.name -}}
{{- end -}}

{{/* What selects the Pods of this release. */}}
{{- define "handover.selector" -}}
app.kubernetes.io/name: handover
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* On objects of the chart only: the operator never copies labels to a Secret it writes. */}}
{{- define "handover.labels" -}}
{{ include "handover.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The operator, as the subject of a binding. */}}
{{- define "handover.subjects" -}}
subjects:
- kind: ServiceAccount
  name: {{ include "handover.serviceAccount" . | quote }}
  namespace: {{ .Release.Namespace | quote }}
{{- end -}}

{{/* What the operator does with the resources of a namespace, apart from the watch of targets. */}}
{{- define "handover.tenantRules" -}}
# The finalizer. The operator writes nothing else on a resource.
- apiGroups: [handover.dev]
  resources: [machinetokens]
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- if .Values.rbac.pods }}
# Who still uses a credential that is to be revoked.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
{{- end }}
{{- end -}}
