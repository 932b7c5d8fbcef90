"""Values that the chart is tried with."""

import pytest

from tests.chart.helm import Values

EVERYTHING: Values = {
    "commonLabels": {"team": "platform"},
    "commonAnnotations": {"example.com/owner": "platform"},
    "deploymentAnnotations": {"example.com/tier": "1"},
    "crds": {"annotations": {"example.com/docs": "operator/README.md"}},
    "image": {"repository": "registry.example.com/llmbatch", "tag": "1.2.3", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "registry"}, {"name": "mirror"}],
    "operator": {"logLevel": "debug", "extraEnv": [{"name": "TZ", "value": "UTC"}]},
    "serviceAccount": {"annotations": {"example.com/role": "batch"}},
    "metrics": {
        "port": 9090,
        "service": {"annotations": {"prometheus.io/scrape": "true"}},
        "serviceMonitor": {"enabled": True, "scrapeTimeout": "10s", "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}, "thresholds": {"overdueHours": 30}},
        "dashboard": {"enabled": True, "namespace": "monitoring", "annotations": {"team": "a"}, "folder": "Batches"},
    },
    "proxy": {"httpsProxy": "http://proxy:3128", "httpProxy": "http://proxy:3128", "noProxy": ".svc,10.0.0.0/8"},
    "caBundle": {"configMap": {"name": "company", "key": "ca.crt"}},
    "transfer": {
        "labels": {"kueue.x-k8s.io/queue-name": "batch"},
        "annotations": {"sidecar.istio.io/inject": "false"},
        "nodeSelector": {"pool": "batch"},
        "tolerations": [{"key": "batch", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "kubernetes.io/hostname", "labelSelector": {}}
        ]}},
        "priorityClassName": "low",
        "serviceAccountName": "batch",
        "runtimeClassName": "gvisor",
        "imagePullSecrets": [{"name": "of-pods"}],
        "securityContext": {"runAsUser": None, "fsGroup": 2000},
    },
    "replicas": 3,
    "leaderElection": {"leaseSeconds": 30, "renewSeconds": 20, "retrySeconds": 5},
    "podAnnotations": {"example.com/note": "x"},
    "podLabels": {"example.com/zone": "a"},
    "priorityClassName": "system-cluster-critical",
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}]}
    ]}}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway",
         "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "llmbatch"}}}
    ],
    "extraVolumes": [{"name": "spiffe", "csi": {"driver": "csi.spiffe.io", "readOnly": True}}],
    "extraVolumeMounts": [{"name": "spiffe", "mountPath": "/run/spiffe", "readOnly": True}],
    "extraContainers": [{"name": "agent", "image": "registry.example.com/agent:1"}],
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["kong.example.com"]}],
    "dnsPolicy": "None",
    "dnsConfig": {"nameservers": ["10.0.0.2"], "options": [{"name": "ndots", "value": "2"}]},
    "uninstall": {"priorityClassName": "low"},
    "networkPolicy": {
        "enabled": True,
        "metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        "egress": [{"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 443}]}],
    },
    "emulator": {"enabled": True, "env": {"EMULATOR_CONFIG": '{"dialect": "openai"}'}},
}  # fmt: skip
NOTHING: Values = {
    "crds": {"install": False},
    "rbac": {"create": False},
    "serviceAccount": {"create": False, "name": "mine"},
    "metrics": {"service": {"enabled": False}},
    "podDisruptionBudget": {"enabled": False},
    "resources": {},
    "podSecurityContext": {},
    "securityContext": {},
}
TWO_NAMESPACES: Values = {"watchNamespaces": ["team-a", "team-b"]}

CASES = [
    pytest.param({}, id="the defaults"),
    pytest.param(TWO_NAMESPACES, id="two namespaces"),
    pytest.param({"emulator": {"enabled": True}}, id="with the emulator"),
    pytest.param({"metrics": {"podMonitor": {"enabled": True}}}, id="with a PodMonitor"),
    pytest.param(EVERYTHING, id="every switch on"),
    pytest.param(NOTHING, id="every switch off"),
]
