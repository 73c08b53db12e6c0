{{- define "umbra.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "umbra.fullname" -}}
{{- $name := include "umbra.name" . }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "umbra.serviceAccount" -}}
{{- default (ternary (include "umbra.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{- define "umbra.selector" -}}
app.kubernetes.io/name: {{ include "umbra.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "umbra.labels" -}}
{{ include "umbra.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- define "umbra.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{/* Where the agent's window is: ADDRESS:PORT. */}}
{{- define "umbra.admin" -}}
{{- dig "admin" "address" "127.0.0.1:9977" .Values.agentConfig.spec }}
{{- end }}

{{/* The same for programs in the pod, and for the probes. */}}
{{- define "umbra.socket" -}}
{{- dig "admin" "socket" "/run/umbra/admin.sock" .Values.agentConfig.spec }}
{{- end }}

{{- define "umbra.adminPort" -}}
{{- include "umbra.admin" . | splitList ":" | last }}
{{- end }}

{{/* True where it is not the node's loopback. */}}
{{- define "umbra.exposed" -}}
{{- if not (regexMatch "^(127\\..*|\\[::1\\]):[0-9]+$" (include "umbra.admin" .)) }}true{{ end }}
{{- end }}

{{/* What the values' schema cannot say. */}}
{{- define "umbra.check" -}}
{{- if and (include "umbra.exposed" .) (not .Values.admin.tokenSecret) }}
{{- fail (printf "agentConfig.spec.admin.address is %s: whoever reaches it could pause mirrors and see requests. Name a Secret with a token in admin.tokenSecret, or leave the address on the loopback" (include "umbra.admin" .)) }}
{{- end }}
{{- if and .Values.podMonitor.enabled (not (include "umbra.exposed" .)) }}
{{- fail "podMonitor.enabled: Prometheus cannot reach the agents' loopback. Set agentConfig.spec.admin.address, such as 0.0.0.0:9977, and name a Secret with a token in admin.tokenSecret" }}
{{- end }}
{{- if not (hasPrefix "/run/umbra/" (include "umbra.socket" .)) }}
{{- fail "agentConfig.spec.admin.socket: the probes need it, and it can be below /run/umbra alone" }}
{{- end }}
{{- if and (eq .Values.agentConfig.source "Cluster") .Values.admin.tokenSecret }}
{{- fail "admin.tokenSecret goes with agentConfig.source: Chart. In an AgentConfig of your own name spec.admin.tokenFile, and mount the file by extraVolumes" }}
{{- end }}
{{- end }}

{{/* The file that the agent reads. */}}
{{- define "umbra.agentConfig" -}}
{{- $spec := deepCopy .Values.agentConfig.spec }}
{{- if .Values.admin.tokenSecret }}
{{- $admin := merge (dict "tokenFile" (printf "/etc/umbra-token/%s" .Values.admin.tokenKey)) (default dict $spec.admin) }}
{{- $_ := set $spec "admin" $admin }}
{{- end }}
{{- with .Values.criSocket }}
{{- $_ := set $spec "capture" (merge (default dict $spec.capture) (dict "criSocket" (printf "/host%s" .))) }}
{{- end -}}
apiVersion: umbra.dev/v1alpha1
kind: AgentConfig
metadata: {name: {{ include "umbra.fullname" . }}, namespace: {{ .Release.Namespace }}}
spec:
  {{- toYaml $spec | nindent 2 }}
{{- end }}
