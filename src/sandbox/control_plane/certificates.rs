//! The certificate authority of one control plane: it lives as long as the plane.

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, Error, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};

pub(super) struct Certificates {
    authority: Certificate,
    server: Certificate,
    server_key: KeyPair,
    service_account_key: KeyPair,
}

impl Certificates {
    pub(super) fn generate() -> Result<Self, Error> {
        let mut params = CertificateParams::new([])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let key = KeyPair::generate()?;
        let authority = params.self_signed(&key)?;
        let issuer = Issuer::new(params, key);

        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let mut params = CertificateParams::new(names)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server_key = KeyPair::generate()?;
        let server = params.signed_by(&server_key, &issuer)?;
        Ok(Self {
            authority,
            server,
            server_key,
            service_account_key: KeyPair::generate()?,
        })
    }

    pub(super) fn authority_der(&self) -> Vec<u8> {
        self.authority.der().to_vec()
    }

    pub(super) fn authority_pem(&self) -> String {
        self.authority.pem()
    }

    pub(super) fn server_pem(&self) -> String {
        self.server.pem()
    }

    pub(super) fn server_key_pem(&self) -> String {
        self.server_key.serialize_pem()
    }

    /// Signs the tokens of service accounts.
    pub(super) fn service_account_key_pem(&self) -> String {
        self.service_account_key.serialize_pem()
    }

    /// Verifies them.
    pub(super) fn service_account_public_pem(&self) -> String {
        self.service_account_key.public_key_pem()
    }
}
