{{- /* The name of everything: at most 40 characters, so that a pod's and a label's stay within 63. */ -}}
{{- define "dvr.name" -}}
{{- if contains "dvr" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-dvr" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "dvr.selector" -}}
app.kubernetes.io/name: dvr
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "dvr.labels" -}}
{{ include "dvr.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* Behind a pod's name: the headless service's. */ -}}
{{- define "dvr.domain" -}}
{{ include "dvr.name" . }}-nodes.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end }}

{{- define "dvr.image" -}}
image: {{ printf "%s:%s" .Values.image.repository .Values.image.tag | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy | default "IfNotPresent" }}
{{- end }}

{{- /* A call of the API by the machine, at the pod's address: the node refuses names that it does not know, so one that it knows is said. */ -}}
{{- define "dvr.get" -}}
httpGet:
  path: {{ .path }}
  port: api
  scheme: {{ ternary "HTTPS" "HTTP" .root.Values.tls.enabled }}
  httpHeaders:
    - name: Host
      value: localhost
{{- end }}
