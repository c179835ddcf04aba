{{/*
The operator's rights. One template per capability, each rule list written once; rbac.yaml renders it as a ClusterRole,
or as one Role per watched namespace. No wildcards: `make chart-test` refuses them.
*/}}

{{/* The capabilities in use, as a list. A ceiling of Observe leaves out all that change a workload, and
rehearsals of such changes. */}}
{{- define "homeostat.capabilities" -}}
{{- $names := list "observe" "record" -}}
{{- if .Values.capabilities.secrets -}}
{{- $names = append $names "secrets" -}}
{{- end -}}
{{- if .Values.capabilities.gatewayApi -}}
{{- $names = append $names "gatewayApi" -}}
{{- end -}}
{{- if ne .Values.modeCeiling "Observe" -}}
{{- range $name := list "isolate" "rollback" "recreate" "failover" "guardRails" "neighbours" "podNetwork" "rehearse" -}}
{{- if index $.Values.capabilities $name -}}
{{- $names = append $names $name -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $names -}}
{{- end -}}

{{/* See targets, what they depend on, and our own kinds. */}}
{{- define "homeostat.rules.observe" -}}
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [get, list, watch]
- apiGroups: [apps]
  resources: [replicasets, controllerrevisions]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [pods, configmaps, services, serviceaccounts, resourcequotas, limitranges]
  verbs: [get, list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses, networkpolicies]
  verbs: [get, list, watch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
- apiGroups: [homeostat.dev]
  resources: [recoverypolicies]
  verbs: [list, watch]
- apiGroups: [homeostat.dev]
  resources: [stablestates, recoveries]
  verbs: [get, list, watch]
{{- end -}}

{{/* Write status, journals and stable states; make immutable copies of ConfigMaps; delete what the history limits leave out. */}}
{{- define "homeostat.rules.record" -}}
- apiGroups: [homeostat.dev]
  resources: [recoverypolicies/status, recoveries/status]
  verbs: [patch]
- apiGroups: [homeostat.dev]
  resources: [stablestates]
  verbs: [create, delete]
- apiGroups: [homeostat.dev]
  resources: [recoveries]
  verbs: [create, delete]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{/* Freeze a rollout; quarantine a pod and, after its inspection time, delete it; evict one of a StatefulSet or DaemonSet. */}}
{{- define "homeostat.rules.isolate" -}}
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [patch, delete]
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
{{- end -}}

{{/* Restore a template and what belongs to it; what is immutable or missing is created again. An autoscaler that was
added since is deleted. Guard rails are not here. */}}
{{- define "homeostat.rules.rollback" -}}
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
- apiGroups: [""]
  resources: [configmaps, serviceaccounts, services]
  verbs: [patch, create]
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [patch, create]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [patch, create]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [patch, create, delete]
{{- end -}}

{{/* Create a target again that was deleted, where a policy allows it. No right can be limited to what policies name. To hand
its fields back takes `rollback`. */}}
{{- define "homeostat.rules.recreate" -}}
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [create]
{{- end -}}

{{/* See Secrets, make and delete immutable copies of them, and restore them where a rollback may. No right can be limited
to some types of Secrets, or to what policies name. */}}
{{- define "homeostat.rules.secrets" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, delete]
{{- if and .Values.capabilities.rollback (ne .Values.modeCeiling "Observe") }}
- apiGroups: [""]
  resources: [secrets]
  verbs: [patch]
{{- end -}}
{{- end -}}

{{/* See routes of the Gateway API; restore them where a rollback may, and what is missing is created again; move their weights
where a failover may. */}}
{{- define "homeostat.rules.gatewayApi" -}}
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes, grpcroutes]
  verbs: [get, list, watch]
{{- if ne .Values.modeCeiling "Observe" }}
{{- if or .Values.capabilities.rollback .Values.capabilities.failover }}
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes, grpcroutes]
  verbs: [patch]
{{- end }}
{{- if .Values.capabilities.rollback }}
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes, grpcroutes]
  verbs: [create]
{{- end }}
{{- end -}}
{{- end -}}

{{/* Act in the name of the ServiceAccount that a policy names, to write guard rails with its rights and no others. */}}
{{- define "homeostat.rules.guardRails" -}}
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [impersonate]
{{- end -}}

{{/* Point a Service at the standby, and back; let the standby's autoscaler keep more pods, and as few as before. No right can
be limited to what policies name, nor to these fields. */}}
{{- define "homeostat.rules.failover" -}}
- apiGroups: [""]
  resources: [services]
  verbs: [patch]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [patch]
{{- end -}}

{{/* See CronJobs; suspend one, or scale a Deployment to 0, that a policy declares may be stopped, and let it go on. No right
can be limited to what policies name, nor to these fields. */}}
{{- define "homeostat.rules.neighbours" -}}
- apiGroups: [apps]
  resources: [deployments]
  verbs: [patch]
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [get, list, watch, patch]
{{- end -}}

{{/* Keep all network away from pods in quarantine, and a target from a dependency. A create cannot be limited by name. */}}
{{- define "homeostat.rules.podNetwork" -}}
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [create, delete]
{{- end -}}

{{/*
Ask whether a state's pods could be created, and whether their claims exist. The right to create pods is never granted
without the fence of rehearsal.yaml, which lets only dry runs through.
*/}}
{{- define "homeostat.rules.rehearse" -}}
- apiGroups: [""]
  resources: [pods]
  verbs: [create]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get]
{{- end -}}

{{/*
Read the RecoveryBudgets, which belong to no namespace, and see when a namespace is being deleted, and what Pod Security
admits into it: always a ClusterRole.
Who looks after some namespaces only cannot know what is used in all, and does not write it.
*/}}
{{- define "homeostat.rules.budget" -}}
- apiGroups: [""]
  resources: [namespaces]
  {{- with .Values.watchNamespaces }}
  resourceNames: {{ toJson . }}
  {{- end }}
  verbs: [get, list, watch]
- apiGroups: [homeostat.dev]
  resources: [recoverybudgets]
  verbs: [list, watch]
{{- if not .Values.watchNamespaces }}
- apiGroups: [homeostat.dev]
  resources: [recoverybudgets/status]
  verbs: [patch]
{{- end }}
{{- end -}}

{{/*
See nodes, and cordon them where a RecoveryBudget allows it. Nodes belong to no namespace: always a ClusterRole. The
rights to move pods off them are those of `isolate`.
*/}}
{{- define "homeostat.rules.nodes" -}}
- apiGroups: [""]
  resources: [nodes]
  verbs: [get, list, watch]
{{- if ne .Values.modeCeiling "Observe" }}
- apiGroups: [""]
  resources: [nodes]
  verbs: [patch]
{{- end }}
{{- end -}}

{{/* See members of closures that belong to no namespace: always a ClusterRole, and never a write. */}}
{{- define "homeostat.rules.clusterMembers" -}}
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterroles, clusterrolebindings]
  verbs: [get, list, watch]
- apiGroups: [scheduling.k8s.io]
  resources: [priorityclasses]
  verbs: [get, list, watch]
{{- end -}}

{{/* Hold the lease and the seal: always a Role in the release namespace. A create cannot be limited by name. */}}
{{- define "homeostat.rules.lead" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "homeostat.leaseName" . }}]
  verbs: [get, update]
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [{{ include "homeostat.sealSecretName" . }}]
  verbs: [get, patch]
{{- end -}}

{{/* For people. Reading all of our kinds. */}}
{{- define "homeostat.rules.view" -}}
- apiGroups: [homeostat.dev]
  resources: [recoverypolicies, stablestates, recoveries, recoverybudgets]
  verbs: [get, list, watch]
{{- end -}}

{{/* For people. Policies only: states and journals are not theirs to write, and budgets are a cluster administrator's. */}}
{{- define "homeostat.rules.edit" -}}
- apiGroups: [homeostat.dev]
  resources: [recoverypolicies]
  verbs: [create, update, patch, delete]
{{- end -}}

{{/* For people. Answer, abort or send home an open Recovery; pin or reject a state. CEL guards all else. */}}
{{- define "homeostat.rules.approver" -}}
- apiGroups: [homeostat.dev]
  resources: [recoveries, stablestates]
  verbs: [get, list, watch, patch, update]
{{- end -}}

{{/* A role and its binding to the operator. Takes root, name, rules (a template's name); for a Role, namespace. */}}
{{- define "homeostat.boundRole" -}}
{{- $kind := ternary "Role" "ClusterRole" (not (empty .namespace)) }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "homeostat.labels" .root | nindent 4 }}
rules:
  {{- include .rules .root | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "homeostat.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ include "homeostat.serviceAccountName" .root }}
    namespace: {{ .root.Release.Namespace }}
{{- end -}}
