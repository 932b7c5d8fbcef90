// The custom resource definitions of others that our manifests are held against: nothing here is compiled.
module llmbatch.example/definitions

go 1.26

require (
	github.com/kong/kubernetes-configuration v1.4.0
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/gateway-api v1.4.1
)
