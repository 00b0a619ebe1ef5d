{{/* Which Services tenants have. */}}

{{/* "true" when the mode makes Services from the tenants in the values. */}}
{{- define "tenantproxy.exposedByServices" -}}
{{- if has .Values.exposure.mode (list "static" "nodePort" "loadBalancer") }}true{{ end -}}
{{- end -}}

{{/*
Every listener as `PORT/TENANT/LISTENER`, the port in five digits or `?????`; sorted, so by port.
(Keys of a dict, here and below: `append` copies its list, and there may be thousands.)
*/}}
{{- define "tenantproxy.listeners" -}}
{{- $all := dict -}}
{{- range $tenant, $of := .Values.config.tenants -}}
{{- range $listener, $spec := ($of).listeners -}}
{{- $port := ($spec).port | int -}}
{{- $_ := set $all (printf "%s/%s/%s" (gt $port 0 | ternary (printf "%05d" $port) "?????") $tenant $listener) true -}}
{{- end -}}
{{- end -}}
{{- keys $all | sortAlpha | toJson -}}
{{- end -}}

{{/*
The Services of tenants, as `NAME/TENANT: {name, tenant, ports: [{name, port}]}`.

A tenant has one Service. One with more than 100 ports has a Service for each hundred of port
numbers, `acme-20100` for 20100 to 20199: none has more than 100 ports, and none of its ports moves
to another Service when others come or go. (Cut by counting, a port that goes would move all
those after it.) See docs/decisions/0008.
*/}}
{{- define "tenantproxy.tenantServices" -}}
{{- $byTenant := dict -}}
{{- range include "tenantproxy.listeners" . | fromJsonArray -}}
{{- $part := splitList "/" . -}}
{{- if ne (index $part 0) "?????" -}}
{{- $_ := set $byTenant (index $part 1) (append (get $byTenant (index $part 1) | default list) $part) -}}
{{- end -}}
{{- end -}}
{{- $services := dict -}}
{{- range $tenant, $parts := $byTenant -}}
{{- $many := gt (len $parts) 100 -}}
{{- range $parts -}}
{{- $port := dict "name" (index . 2) "port" (index . 0 | atoi) -}}
{{- $part := $many | ternary (printf "%s-%d" $tenant (mul 100 (div $port.port 100))) $tenant -}}
{{- $name := include "tenantproxy.named" (list $ $part) -}}
{{- $key := printf "%s/%s" $name $tenant -}}
{{- $service := get $services $key | default (dict "name" $name "tenant" $tenant "ports" list) -}}
{{- $_ := set $service "ports" (append $service.ports $port) -}}
{{- $_ := set $services $key $service -}}
{{- end -}}
{{- end -}}
{{- $services | toJson -}}
{{- end -}}
