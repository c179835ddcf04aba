//! What the programs of a node are told: containerd, its network plugins, kubelet and kube-proxy.
//!
//! Everything is kept small and quick. Nothing must be written outside of the node's own `/run` and run directory.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::{dns, network};

/// The image of the container that holds a pod's namespaces.
pub(crate) const PAUSE: &str = "homeostat.test/pause:1";
/// containerd's socket, in the node's own `/run`.
pub(super) const SOCKET: &str = "/run/containerd/containerd.sock";
/// Crashed containers are started again after at most this time, else a test would wait for minutes.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(10);

/// containerd's configuration.
pub(super) fn containerd(programs: &Path, plugins: &Path) -> String {
    let (programs, plugins) = (json!(programs), json!(plugins));
    format!(
        "version = 3
root = '/run/lib/containerd'
state = '/run/containerd'

[grpc]
address = '{SOCKET}'

[plugins.'io.containerd.cri.v1.images']
snapshotter = 'overlayfs'

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '{PAUSE}'

[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = [{programs}]
conf_dir = {plugins}

[plugins.'io.containerd.cri.v1.runtime'.containerd]
default_runtime_name = 'runc'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = false
"
    )
}

/// The chain of network plugins: pods of a node hang on its bridge.
pub(super) fn plugins(number: usize) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": format!("node-{number}"),
        "plugins": [
            {
                "type": "bridge",
                "bridge": format!("node-{number}"),
                "isGateway": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/lib/cni",
                    "ranges": [[{"subnet": network::pod_subnet(number)}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
}

/// kubelet's configuration. `cgroup` is the one below which all containers of the node go.
pub(super) fn kubelet(number: usize, authority: &Path, logs: &Path, cgroup: &str) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network::node_address(number),
        "healthzBindAddress": network::node_address(number),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": authority},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
        "podLogsDir": logs,
        "volumePluginDir": "/run/lib/kubelet/volume-plugins",
        "clusterDNS": [network::DNS],
        "clusterDomain": dns::DOMAIN,
        "resolvConf": "/dev/null",
        // There may be no systemd, and there is no need for one.
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "enforceNodeAllocatable": [],
        "failCgroupV1": false,
        "failSwapOn": false,
        "localStorageCapacityIsolation": false,
        // Images come from tests and cannot be had again; a full disk is not the subject.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
        "configMapAndSecretChangeDetectionStrategy": "Watch",
        // How long mounted ConfigMaps and Secrets may stay as they were; a minute by default.
        "syncFrequency": "5s",
        "crashLoopBackOff": {"maxContainerRestartPeriod": format!("{}s", LONGEST_BACK_OFF.as_secs())},
        // A quarter of it is between two renewals: short enough for every grace period in use.
        "nodeLeaseDurationSeconds": 8,
        "nodeStatusUpdateFrequency": "2s",
        "shutdownGracePeriod": "0s",
        "logging": {"verbosity": 1},
    })
}

/// kube-proxy's configuration: one for all nodes, as they share a network namespace.
pub(super) fn proxy(kubeconfig: &Path) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": kubeconfig},
        "mode": "iptables",
        "bindAddress": network::node_address(1),
        "hostnameOverride": "node-1",
        "clusterCIDR": network::PODS,
        // Answers come back through the node even where bridges bypass the packet filter.
        "iptables": {"masqueradeAll": true, "minSyncPeriod": "100ms"},
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        // These are settings of the whole machine.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    })
}
