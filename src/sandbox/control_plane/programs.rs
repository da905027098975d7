//! The files and command lines of one control plane.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{ADMIN, certificates::Certificates, identity::Credentials, process::Program};
use crate::sandbox::assets::Tool;

/// What a cluster does for objects without nodes. Without the aggregation, the roles `admin`, `edit` and
/// `view` would be empty.
const CONTROLLERS: &str = "garbagecollector,namespace,deployment,replicaset,serviceaccount,\
                           serviceaccount-token,clusterrole-aggregation";

/// Ports that were free a moment ago.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    etcd: u16,
    etcd_peer: u16,
    apiserver: u16,
}

/// Where everything is.
#[derive(Debug)]
pub(super) struct Layout {
    folder: PathBuf,
    ports: Ports,
    audit: bool,
    url: http::Uri,
}

impl Ports {
    pub(super) fn free() -> io::Result<Self> {
        // All held until all are known, else the kernel may give the same one twice.
        let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let held = [bind()?, bind()?, bind()?];
        let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
        let [etcd, etcd_peer, apiserver] = &held;
        Ok(Self {
            etcd: port(etcd)?,
            etcd_peer: port(etcd_peer)?,
            apiserver: port(apiserver)?,
        })
    }
}

impl Layout {
    pub(super) fn new(folder: &Path, ports: Ports, audit: bool) -> Self {
        Self {
            folder: folder.to_owned(),
            ports,
            audit,
            url: url(ports.apiserver),
        }
    }

    pub(super) fn url(&self) -> &http::Uri {
        &self.url
    }

    pub(super) fn log(&self, tool: Tool) -> PathBuf {
        self.folder.join(format!("{tool}.log"))
    }

    pub(super) fn audit_log(&self) -> PathBuf {
        self.folder.join("audit.log")
    }

    pub(super) fn kubeconfig(&self, identity: &str) -> PathBuf {
        self.folder.join(format!("{identity}.kubeconfig"))
    }

    fn authority(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Every file that must be there before the first process starts.
    pub(super) fn files(
        &self,
        certificates: &Certificates,
        identities: &BTreeMap<String, Credentials>,
    ) -> Vec<(PathBuf, String)> {
        let tokens = identities.values().map(Credentials::line).collect();
        let mut files = vec![
            (self.authority(), certificates.authority_pem()),
            (self.folder.join("server.crt"), certificates.server_pem()),
            (
                self.folder.join("server.key"),
                certificates.server_key_pem(),
            ),
            (
                self.folder.join("accounts.key"),
                certificates.service_account_key_pem(),
            ),
            (
                self.folder.join("accounts.pub"),
                certificates.service_account_public_pem(),
            ),
            (self.folder.join("tokens.csv"), tokens),
            (self.folder.join("audit-policy.json"), audit_policy()),
        ];
        files.extend(
            identities.iter().map(|(name, credentials)| {
                (self.kubeconfig(name), self.kubeconfig_of(credentials))
            }),
        );
        files
    }

    /// In JSON, which every reader of YAML understands.
    fn kubeconfig_of(&self, credentials: &Credentials) -> String {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "sandbox",
            "contexts": [{
                "name": "sandbox",
                "context": { "cluster": "sandbox", "user": "sandbox", "namespace": "default" },
            }],
            "clusters": [{
                "name": "sandbox",
                "cluster": {
                    "server": self.url.to_string().trim_end_matches('/'),
                    "certificate-authority": self.authority(),
                },
            }],
            "users": [{ "name": "sandbox", "user": { "token": credentials.token() } }],
        })
        .to_string()
    }

    pub(super) fn program(&self, tool: Tool, binary: &Path) -> Program {
        let arguments = match tool {
            Tool::Etcd => self.etcd(),
            Tool::KubeApiserver => self.apiserver(),
            Tool::KubeControllerManager => self.controller_manager(),
            Tool::Kubectl | Tool::Helm => Vec::new(),
        };
        Program {
            binary: binary.to_owned(),
            arguments,
            environment: Vec::new(),
            log: self.log(tool),
        }
    }

    fn etcd(&self) -> Vec<String> {
        let client = format!("http://127.0.0.1:{}", self.ports.etcd);
        let peer = format!("http://127.0.0.1:{}", self.ports.etcd_peer);
        vec![
            format!("--data-dir={}", self.path("etcd")),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            // Nothing here has to survive a power cut.
            "--unsafe-no-fsync".to_owned(),
        ]
    }

    fn apiserver(&self) -> Vec<String> {
        let mut arguments = vec![
            format!("--etcd-servers=http://127.0.0.1:{}", self.ports.etcd),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.ports.apiserver),
            // Without these it looks for an address that other machines could reach.
            "--advertise-address=127.0.0.1".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--cert-dir={}", self.path("certificates")),
            format!("--tls-cert-file={}", self.path("server.crt")),
            format!("--tls-private-key-file={}", self.path("server.key")),
            format!("--token-auth-file={}", self.path("tokens.csv")),
            "--authorization-mode=RBAC".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--service-account-key-file={}", self.path("accounts.pub")),
            format!(
                "--service-account-signing-key-file={}",
                self.path("accounts.key")
            ),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            // Pods need no account here, and tests without the controllers have none.
            "--disable-admission-plugins=ServiceAccount".to_owned(),
        ];
        if self.audit {
            arguments.push(format!(
                "--audit-policy-file={}",
                self.path("audit-policy.json")
            ));
            arguments.push(format!("--audit-log-path={}", self.audit_log().display()));
        }
        arguments
    }

    fn controller_manager(&self) -> Vec<String> {
        vec![
            format!("--kubeconfig={}", self.kubeconfig(ADMIN).display()),
            format!("--controllers={CONTROLLERS}"),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            format!(
                "--service-account-private-key-file={}",
                self.path("accounts.key")
            ),
            format!("--root-ca-file={}", self.authority().display()),
            // The default of 20 requests per second would be what tests wait for.
            "--kube-api-qps=500".to_owned(),
            "--kube-api-burst=1000".to_owned(),
        ]
    }
}

#[expect(
    clippy::expect_used,
    reason = "a port cannot make this text another thing than a URL"
)]
fn url(port: u16) -> http::Uri {
    let text = format!("https://127.0.0.1:{port}");
    text.parse().expect("an address is a URL")
}

/// Who, what, when and the answer, once per request; no bodies.
fn audit_policy() -> String {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{ "level": "Metadata" }],
    })
    .to_string()
}
