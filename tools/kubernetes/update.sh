#!/bin/sh
# Pins a module to one Kubernetes release:
#
#   tools/kubernetes/update.sh 1.36.3             this module: the version of sandbox and tests
#   tools/kubernetes/update.sh 1.33.13 beside     tools/kubernetes-1.33.13, for HANDOVER_KUBERNETES_VERSION=1.33.13
#
# k8s.io/kubernetes requires its staging modules (k8s.io/api, k8s.io/apiserver, ...) at v0.0.0 and replaces them with
# folders of its own tree. Outside of that tree each of them is replaced by the module published with the same release.
set -eu
cd "$(dirname "$0")"
version=${1:?usage: update.sh <kubernetes version, such as 1.36.3> [beside]}
if [ "${2:-}" = beside ]; then
    mkdir -p "../kubernetes-$version"
    cd "../kubernetes-$version"
fi

download=$(cd / && go mod download -json "k8s.io/kubernetes@v$version")
upstream=$(printf '%s\n' "$download" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')

{
    echo "// Written by update.sh $version."
    echo "module handover.dev/tools/kubernetes"
    echo
    grep '^go ' "$upstream"
    echo
    grep '^godebug ' "$upstream"
    echo
    echo "tool ("
    for command in kube-apiserver kube-controller-manager kubectl; do
        echo "	k8s.io/kubernetes/cmd/$command"
    done
    echo ")"
    echo
    echo "require k8s.io/kubernetes v$version"
    echo
    echo "replace ("
    sed -n "s|^\t\(k8s.io/.*\) => ./staging/.*|\t\1 => \1 v0.${version#1.}|p" "$upstream"
    echo ")"
} > go.mod
go mod tidy
