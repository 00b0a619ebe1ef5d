{{/* The pod, the same for a Deployment and a DaemonSet. */}}

{{/* The capabilities that switches add, as a list. */}}
{{- define "tenantproxy.capabilities" -}}
{{- $add := list -}}
{{- if .Values.kernelRelay.enabled }}{{ $add = concat $add (list "BPF" "NET_ADMIN") }}{{ end -}}
{{- if and .Values.privilegedPorts.enabled (eq .Values.exposure.mode "hostNetwork") }}{{ $add = append $add "NET_BIND_SERVICE" }}{{ end -}}
{{- $add | toJson -}}
{{- end -}}

{{/*
User 0 where capabilities are added. Kubernetes puts an added capability into the bounding and
permitted sets of the container's first process and into no ambient set, so the execve of a user
other than 0 loses it; file capabilities would have to be in the image, on the Python
interpreter, for whoever runs it. User 0 without CAP_DAC_OVERRIDE and the like keeps exactly what is added here.
*/}}
{{- define "tenantproxy.podSecurityContext" -}}
{{- $context := deepCopy (.Values.podSecurityContext | default dict) -}}
{{- if include "tenantproxy.capabilities" . | fromJsonArray -}}
{{- $context = mergeOverwrite $context (dict "runAsNonRoot" false "runAsUser" 0) -}}
{{- else if .Values.privilegedPorts.enabled -}}
{{- $start := dict "name" "net.ipv4.ip_unprivileged_port_start" "value" "0" -}}
{{- $_ := set $context "sysctls" (append (get $context "sysctls" | default list) $start) -}}
{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{- define "tenantproxy.securityContext" -}}
{{- $context := deepCopy (.Values.securityContext | default dict) -}}
{{- with include "tenantproxy.capabilities" . | fromJsonArray -}}
{{- $capabilities := get $context "capabilities" | default dict -}}
{{- $_ := set $capabilities "add" (concat (get $capabilities "add" | default list) . | uniq) -}}
{{- $_ := set $context "capabilities" $capabilities -}}
{{- end -}}
{{- toYaml $context -}}
{{- end -}}

{{/* A probe of ours by the fields of the user: list PATH FIELDS. */}}
{{- define "tenantproxy.probe" -}}
{{- $how := dict "httpGet" (dict "path" (index . 0) "port" "metrics") -}}
{{- $fields := index . 1 -}}
{{- range list "exec" "tcpSocket" "grpc" -}}
{{- if hasKey $fields . }}{{ $how = dict }}{{ end -}}
{{- end -}}
{{- merge (deepCopy $fields) $how | toYaml -}}
{{- end -}}

{{- define "tenantproxy.podTemplate" -}}
metadata:
  {{- $foreign := include "tenantproxy.foreignDocument" . }}
  {{- if or (not $foreign) .Values.podAnnotations }}
  annotations:
    {{- $ours := dict }}
    {{- if not $foreign }}
    {{- $ours = dict "checksum/proxy" (include "tenantproxy.readOnce" .) }}
    {{- end }}
    {{- merge $ours (.Values.podAnnotations | default dict) | toYaml | nindent 4 }}
  {{- end }}
  # Without the versions of chart and program: a new chart alone rolls nothing.
  labels:
    {{- $selector := include "tenantproxy.selectorLabels" . | fromYaml }}
    {{- merge $selector (.Values.podLabels | default dict) (.Values.commonLabels | default dict) | toYaml | nindent 4 }}
spec:
  serviceAccountName: {{ include "tenantproxy.serviceAccountName" . }}
  automountServiceAccountToken: {{ .Values.serviceAccount.automount }}
  # Or a Service for each of a thousand tenants would be seven variables in the environment each.
  enableServiceLinks: false
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- if eq .Values.exposure.mode "hostNetwork" }}
  hostNetwork: true
  # Or names of the cluster would be asked of the node's servers, which do not know them.
  dnsPolicy: ClusterFirstWithHostNet
  {{- end }}
  securityContext:
    {{- include "tenantproxy.podSecurityContext" . | nindent 4 }}
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds | int | default (include "tenantproxy.secondsToEnd" .) }}
  {{- with .Values.initContainers }}
  initContainers:
    {{- tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
  containers:
    - name: tenantproxy
      image: {{ include "tenantproxy.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      command: [tenantproxy]
      args: [run, --config, {{ include "tenantproxy.documentPath" . }}]
      env:
        # For `kubectl exec POD -- tenantproxy get listeners`.
        - name: TENANTPROXY_SERVER
          value: http://127.0.0.1:{{ .Values.ports.admin | int }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .Values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      # Not the tenants' ports: they come and go while the pod runs, and this list is only information.
      ports:
        - name: metrics
          containerPort: {{ .Values.ports.metrics | int }}
          protocol: TCP
        {{- if .Values.admin.expose }}
        - name: admin
          containerPort: {{ .Values.ports.admin | int }}
          protocol: TCP
        {{- end }}
      {{- range $kind, $path := dict "startupProbe" "/livez" "livenessProbe" "/livez" "readinessProbe" "/readyz" }}
      {{- with get $.Values $kind }}
      {{ $kind }}:
        {{- include "tenantproxy.probe" (list $path .) | nindent 8 }}
      {{- end }}
      {{- end }}
      {{- with .Values.lifecycle }}
      lifecycle:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- include "tenantproxy.securityContext" . | nindent 8 }}
      # Whole folders, never a subPath: a file mounted by itself does not follow its ConfigMap, and
      # the daemon reads a changed document while it runs.
      volumeMounts:
        - name: document
          mountPath: {{ include "tenantproxy.documentPath" . | dir }}
          readOnly: true
        - name: policies
          mountPath: {{ include "tenantproxy.policiesPath" . }}
          readOnly: true
        {{- if .Values.admin.token.existingSecret }}
        - name: token
          mountPath: {{ include "tenantproxy.tokenPath" . }}
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with .Values.extraContainers }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
  volumes:
    - name: document
      {{- if or .Values.existingSecret (and (not $foreign) (eq .Values.configStorageType "Secret")) }}
      secret:
        secretName: {{ .Values.existingSecret | default (include "tenantproxy.fullname" .) }}
        defaultMode: 0440
      {{- else }}
      configMap:
        name: {{ .Values.existingConfigMap | default (include "tenantproxy.fullname" .) }}
      {{- end }}
    - name: policies
      configMap:
        name: {{ include "tenantproxy.named" (list $ "policies") }}
    {{- with .Values.admin.token }}
    {{- if .existingSecret }}
    - name: token
      secret:
        secretName: {{ .existingSecret }}
        defaultMode: 0440
        items:
          - key: {{ .key | quote }}
            path: {{ .key | quote }}
    {{- end }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- $selector := dict "labelSelector" (dict "matchLabels" (include "tenantproxy.selectorLabels" $ | fromYaml)) }}
    {{- range . }}
    - {{- merge (deepCopy .) $selector | toYaml | nindent 6 }}
    {{- end }}
  {{- end }}
{{- end -}}
