{{/* Name of the chart. */}}
{{- define "llmbatch.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name that objects of this release begin with; leaves room for the longest suffix within 63 characters. A release's name
may have dots and begin with a digit, a Service's may not. */}}
{{- define "llmbatch.fullname" -}}
{{- $name := include "llmbatch.name" . }}
{{- if .Values.fullnameOverride }}
{{- $name = .Values.fullnameOverride }}
{{- else if contains $name .Release.Name }}
{{- $name = .Release.Name }}
{{- else }}
{{- $name = printf "%s-%s" .Release.Name $name }}
{{- end }}
{{- $name = $name | replace "." "-" }}
{{- if regexMatch "^[0-9]" $name }}
{{- $name = printf "llmbatch-%s" $name }}
{{- end }}
{{- $name | trunc 53 | trimSuffix "-" }}
{{- end }}

{{/* Labels that select pods: they never change during a release's life. Takes a dict of root and component. */}}
{{- define "llmbatch.selectorLabels" -}}
app.kubernetes.io/name: {{ include "llmbatch.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* The operator's pods, as a selector on a command line. */}}
{{- define "llmbatch.operatorPods" -}}
{{- $pairs := list }}
{{- range $key, $value := include "llmbatch.selectorLabels" (dict "root" . "component" "operator") | fromYaml }}
{{- $pairs = append $pairs (printf "%s=%s" $key $value) }}
{{- end }}
{{- join "," $pairs }}
{{- end }}

{{/* A map as YAML, without what is null at any depth: Helm 3 takes such a key away, Helm 4 hands on one that the chart has no
default for. To Kubernetes a label would be empty, and a limit 0. */}}
{{- define "llmbatch.given" -}}
{{- $given := dict }}
{{- range $key, $value := . }}
{{- if kindIs "map" $value }}
{{- $_ := set $given $key (include "llmbatch.given" $value | fromYaml) }}
{{- else if not (kindIs "invalid" $value) }}
{{- $_ := set $given $key $value }}
{{- end }}
{{- end }}
{{- toYaml $given }}
{{- end }}

{{/* Labels of every object. Takes a dict of root, component and, for a pod, more. By what selects a pod, nobody else's label wins. */}}
{{- define "llmbatch.labels" -}}
{{- $labels := dict
  "app.kubernetes.io/version" .root.Chart.AppVersion
  "app.kubernetes.io/managed-by" .root.Release.Service
  "app.kubernetes.io/part-of" "llmbatch"
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") }}
{{- $selector := include "llmbatch.selectorLabels" . | fromYaml }}
{{- range list .root.Values.commonLabels .more }}
{{- $labels = mergeOverwrite $labels (include "llmbatch.given" . | fromYaml) }}
{{- end }}
{{- toYaml (mergeOverwrite $labels $selector) }}
{{- end }}

{{/* Annotations of an object that stays: those of all objects, in whose place its own come. */}}
{{- define "llmbatch.annotations" -}}
{{- $found := dict }}
{{- range list .root.Values.commonAnnotations .annotations }}
{{- $found = mergeOverwrite $found (include "llmbatch.given" . | fromYaml) }}
{{- end }}
{{- with $found }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* Labels and annotations of an object that stays. Takes what llmbatch.labels takes, and annotations. */}}
{{- define "llmbatch.about" -}}
labels:
  {{- include "llmbatch.labels" . | nindent 2 }}
{{- with include "llmbatch.annotations" . }}
annotations:
  {{- . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "llmbatch.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "llmbatch.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is needed with serviceAccount.create=false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* The operator's image, which is also that of the transfer Jobs. */}}
{{- define "llmbatch.image" -}}
{{- include "llmbatch.reference" (dict "root" . "image" .Values.image) }}
{{- end }}

{{/* What an image is pulled by. Takes a dict of root and image. The registry for all comes in place of the image's own. */}}
{{- define "llmbatch.reference" -}}
{{- $repository := .image.repository }}
{{- with (.root.Values.global | default dict).imageRegistry }}
{{- $parts := splitList "/" $repository }}
{{- $host := first $parts }}
{{- if and (rest $parts) (or (contains "." $host) (contains ":" $host) (eq $host "localhost")) }}
{{- $repository = rest $parts | join "/" }}
{{- end }}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository }}
{{- end }}
{{- if .image.digest }}
{{- printf "%s@%s" $repository .image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (.image.tag | default .root.Chart.AppVersion) }}
{{- end }}
{{- end }}

{{/* Names of the Secrets with registry credentials, separated by commas: the chart's own, and those for all charts. */}}
{{- define "llmbatch.imagePullSecretNames" -}}
{{- $names := list }}
{{- range concat (.Values.imagePullSecrets | default list) ((.Values.global | default dict).imagePullSecrets | default list) }}
{{- if kindIs "map" . }}
{{- $names = append $names .name }}
{{- else }}
{{- $names = append $names . }}
{{- end }}
{{- end }}
{{- uniq $names | join "," }}
{{- end }}

{{/* The same, as a pod has them. */}}
{{- define "llmbatch.imagePullSecrets" -}}
{{- with include "llmbatch.imagePullSecretNames" . -}}
imagePullSecrets:
  {{- range splitList "," . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "llmbatch.emulator.url" -}}
http://{{ include "llmbatch.fullname" . }}-emulator.{{ .Release.Namespace }}:{{ .Values.emulator.service.port }}
{{- end }}

{{/* Bytes of a quantity ("512Mi", 5e8, 536870912). */}}
{{- define "llmbatch.bytes" -}}
{{- $text := toString . }}
{{- $unit := regexFind "([numkMGTPE]|[KMGTPE]i)$" $text }}
{{- $bytes := dict "" 1.0 "n" 1e-9 "u" 1e-6 "m" 1e-3 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18
  "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 }}
{{- mulf (trimSuffix $unit $text | float64) (get $bytes $unit) }}
{{- end }}

{{/* What the operator may do: the one list, for the ClusterRole and for the Roles; that of kube/permissions.py. */}}
{{- define "llmbatch.rules" -}}
- apiGroups: [llmbatch.io]
  resources: [batchjobs]
  verbs: [get, list, watch, patch]
- apiGroups: [llmbatch.io]
  resources: [batchjobs/status, batchgateways/status]
  verbs: [patch]
# Lets it set ownerReferences with blockOwnerDeletion where the cluster enforces that permission.
- apiGroups: [llmbatch.io]
  resources: [batchjobs/finalizers]
  verbs: [update]
- apiGroups: [llmbatch.io]
  resources: [batchgateways]
  verbs: [get, list, watch]
# Reads inputs and credentials by name, never by list; writes results.
- apiGroups: [""]
  resources: [configmaps, secrets]
  verbs: [get, create, patch]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get]
# The transfer Jobs, their pods' answers, and what the events say of a pod that does not start.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
- apiGroups: [""]
  resources: [events]
  verbs: [create, list]
{{- end }}

{{/* What the operator may do in the namespace that it runs in; OWN_PERMISSIONS of kube/permissions.py. */}}
{{- define "llmbatch.ownRules" -}}
# The Lease by which one of several operators is chosen to work.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update]
# What a namespace that is being deleted takes no event of is told about the operator's own pod.
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* What `llmbatch release` may do in the namespaces that were watched: see uninstall.yaml. */}}
{{- define "llmbatch.releaseRules" -}}
- apiGroups: [llmbatch.io]
  resources: [batchjobs]
  verbs: [list, patch]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* Annotations of what an uninstall makes, and removes again. Takes the weight. */}}
{{- define "llmbatch.uninstallHook" -}}
helm.sh/hook: post-delete
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/* Annotations of what `helm test` makes, and removes again when all is well. Takes the weight. */}}
{{- define "llmbatch.testHook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{/* Labels of a pod that is to end: a sidecar that a mesh puts beside its container would not. Takes what llmbatch.labels takes. */}}
{{- define "llmbatch.endingLabels" -}}
{{- include "llmbatch.labels" (merge (dict "more" (dict "sidecar.istio.io/inject" "false")) .) }}
{{- end }}

{{/* Its annotations, to the same end. */}}
{{- define "llmbatch.endingAnnotations" -}}
sidecar.istio.io/inject: "false"
linkerd.io/inject: disabled
{{- end }}

{{/* What a pod that calls the API server may reach, under a NetworkPolicy: everything, or what the operator may. */}}
{{- define "llmbatch.egress" -}}
{{- with .Values.networkPolicy.egress }}
{{- toYaml . }}
{{- else -}}
- {}
{{- end }}
{{- end }}

{{/* Whether `helm test` has something to run: see tests/selftest.yaml. */}}
{{- define "llmbatch.isTested" -}}
{{- and (.Values.tests).enabled .Values.rbac.create }}
{{- end }}

{{/* Settings that every process of the operator's image needs: which pod it is, and where it works. */}}
{{- define "llmbatch.whereAndWho" -}}
- name: LLMBATCH_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: LLMBATCH_POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: LLMBATCH_POD_UID
  valueFrom:
    fieldRef:
      fieldPath: metadata.uid
- name: LLMBATCH_WATCH_NAMESPACES
  value: {{ join "," .Values.watchNamespaces | quote }}
{{- end }}
