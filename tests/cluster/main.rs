//! Scenarios on a real etcd, kube-apiserver and kube-controller-manager.
