{{- define "signet.name" -}}
{{- if contains "signet-server" .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-signet-server" .Release.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "signet.selector" -}}
app.kubernetes.io/name: signet-server
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "signet.labels" -}}
{{ include "signet.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "signet.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (ternary (include "signet.name" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "signet.image" -}}
{{- $repository := required "image.repository is required: build an image with deploy/Dockerfile" .Values.image.repository -}}
{{- if .Values.image.digest }}{{ $repository }}@{{ .Values.image.digest }}{{ else }}{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* What the chart knows better than whoever writes values. */ -}}
{{- define "signet.config" -}}
{{- range $key := list "listen" "tls" "insecureAllowPlaintextHTTP" "audit" "policy" "metrics" }}
{{- if hasKey $.Values.config $key }}{{ fail (printf "config.%s is set by the chart: see the values of the same name" $key) }}{{ end }}
{{- end }}
{{- $c := deepCopy .Values.config }}
{{- $_ := set $c "listen" "0.0.0.0:8234" }}
{{- $_ := set $c "policy" (dict "file" "/etc/signet/config/policy.yaml") }}
{{- if .Values.tls.insecureAllowPlaintextHTTP }}
{{- $_ := set $c "insecureAllowPlaintextHTTP" true }}
{{- else }}
{{- $_ := required "tls.secretName is required: people's tokens and plaintext pass here (tls.insecureAllowPlaintextHTTP: true where something else encrypts)" .Values.tls.secretName }}
{{- $_ := set $c "tls" (dict "cert" "/etc/signet/tls/tls.crt" "key" "/etc/signet/tls/tls.key") }}
{{- end }}
{{- if .Values.audit.persistence }}
{{- $_ := set $c "audit" (dict "file" "/var/log/signet/audit.jsonl" "maxFileBytes" (int64 .Values.audit.maxFileBytes)) }}
{{- else }}
{{- $_ := set $c "audit" (dict "stdout" true) }}
{{- end }}
{{- if .Values.metrics.enabled }}
{{- $_ := set $c "metrics" (dict "listen" (printf "0.0.0.0:%d" (int .Values.metrics.port))) }}
{{- end }}
{{- if not (hasKey $c "stopDelay") }}{{ $_ := set $c "stopDelay" "10s" }}{{ end }}
{{- toYaml $c }}
{{- end }}
