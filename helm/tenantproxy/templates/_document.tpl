{{/* The document of the daemon, and what follows from it. */}}

{{/* Where things are mounted in the proxy's container. */}}
{{- define "tenantproxy.documentPath" -}}/etc/tenantproxy/config/tenantproxy.yaml{{- end -}}
{{- define "tenantproxy.policiesPath" -}}/etc/tenantproxy/policies{{- end -}}
{{- define "tenantproxy.tokenPath" -}}/etc/tenantproxy/token{{- end -}}

{{/* "true" when the document is one of the user's, which the chart cannot see. */}}
{{- define "tenantproxy.foreignDocument" -}}
{{- if or .Values.existingConfigMap .Values.existingSecret }}true{{ end -}}
{{- end -}}

{{/* What `proxy` says: the part that the user may set, and what the chart decides. */}}
{{- define "tenantproxy.proxy" -}}
{{- $values := .Values -}}
{{- toYaml .Values.config.proxy }}
listen_address: {{ .Values.listenAddress | quote }}
port_range: {{ .Values.ports.range | quote }}
relay: {{ .Values.kernelRelay.enabled | default false | ternary .Values.kernelRelay.mode "pump" }}
admin:
  # Without `admin.expose` on the loopback, which is the pod's (on the host's network: the node's).
  address: {{ .Values.admin.expose | default false | ternary .Values.listenAddress "127.0.0.1" | quote }}
  port: {{ .Values.ports.admin | int }}
  {{- with .Values.admin.token }}
  {{- if .existingSecret }}
  token_file: {{ include "tenantproxy.tokenPath" $ }}/{{ .key }}
  {{- end }}
  {{- end }}
metrics:
  address: {{ .Values.listenAddress | quote }}
  port: {{ .Values.ports.metrics | int }}
policies:
  - {{ include "tenantproxy.policiesPath" . }}
{{- end -}}

{{- define "tenantproxy.document" -}}
version: 1
proxy:
  {{- include "tenantproxy.proxy" . | nindent 2 }}
{{- with .Values.config.tenants }}
tenants:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
A hash of the keys that the daemon reads once, at start: all of `proxy` but `relay` and
`policies`, which it follows as it follows tenants. It stands in the pod template, so a change of
these keys rolls the pods and a change of any other does not.
*/}}
{{- define "tenantproxy.readOnce" -}}
{{- omit (include "tenantproxy.proxy" . | fromYaml) "relay" "policies" | toJson | sha256sum -}}
{{- end -}}

{{/* A duration of the document (`500ms 5s 1.5m 1h 30d`) in whole seconds, rounded up. */}}
{{- define "tenantproxy.seconds" -}}
{{- $units := dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 "d" 86400.0 -}}
{{- mulf (regexFind "^[0-9.]+" . | float64) (get $units (regexFind "[a-z]+$" .)) | ceil | int -}}
{{- end -}}

{{/* Seconds that the daemon may take to go down: what the document says, and 10 to cut and clean up. */}}
{{- define "tenantproxy.secondsToEnd" -}}
{{- $times := .Values.config.proxy.shutdown -}}
{{- $sleep := dig "preStop" "sleep" "seconds" 0 (.Values.lifecycle | default dict) | int -}}
{{- add (include "tenantproxy.seconds" $times.keep_accepting) (include "tenantproxy.seconds" $times.drain) $sleep 10 -}}
{{- end -}}
