{{/* Names and labels. */}}

{{- define "tenantproxy.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The first part of every name: the release's name, and the chart's unless it is in there. */}}
{{- define "tenantproxy.fullname" -}}
{{- $name := include "tenantproxy.name" . -}}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- .Values.fullnameOverride | default $full | include "tenantproxy.short" -}}
{{- end -}}

{{/*
A name in at most 63 letters, as Services need; what is cut off stays in a hash, so that two
long names do not become one. Dots, which a release may have in its name, become dashes.
*/}}
{{- define "tenantproxy.short" -}}
{{- $name := . | replace "." "-" -}}
{{- if gt (len $name) 63 -}}
{{- printf "%s-%s" (trunc 54 $name | trimSuffix "-") (sha256sum $name | trunc 8) -}}
{{- else -}}
{{- $name -}}
{{- end -}}
{{- end -}}

{{/* A name with a part of its own: list $ "metrics". */}}
{{- define "tenantproxy.named" -}}
{{- printf "%s-%s" (include "tenantproxy.fullname" (index . 0)) (index . 1) | include "tenantproxy.short" -}}
{{- end -}}

{{- define "tenantproxy.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "tenantproxy.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/*
What selects the pods. A Deployment's selector can never change, so nothing may join this list,
and nothing of it may depend on a version.
*/}}
{{- define "tenantproxy.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tenantproxy.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: proxy
{{- end -}}

{{/* Of the pod of `helm test`, which Services and budgets of the proxy must not select. */}}
{{- define "tenantproxy.testLabels" -}}
{{- merge (dict "app.kubernetes.io/component" "test") (include "tenantproxy.selectorLabels" . | fromYaml) | toYaml -}}
{{- end -}}

{{/* The user's win: a key that stands twice is refused by strict readers. */}}
{{- define "tenantproxy.labels" -}}
{{- $ours := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/part-of" .Chart.Name
  "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $ours = merge $ours (include "tenantproxy.selectorLabels" . | fromYaml) -}}
{{- merge (dict) (.Values.commonLabels | default dict) $ours | toYaml -}}
{{- end -}}

{{/* The metadata of an object of ours: list $ NAME. */}}
{{- define "tenantproxy.metadata" -}}
{{- $ := index . 0 -}}
name: {{ index . 1 }}
namespace: {{ $.Release.Namespace }}
labels:
  {{- include "tenantproxy.labels" $ | nindent 2 }}
{{- end -}}

{{- define "tenantproxy.image" -}}
{{- $image := .Values.image -}}
{{- if $image.registry }}{{ $image.registry }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .Chart.AppVersion }}{{ end -}}
{{- end -}}
