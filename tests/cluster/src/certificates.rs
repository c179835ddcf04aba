//! One certificate authority per cluster, and what it signs: the API server's certificate and one client certificate
//! per component, told apart by common name and organisation. Keys never leave the run directory.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// Where a certificate and its key lie.
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// A certificate authority that lives as long as the run directory.
pub(crate) struct Authority {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new authority; everything it signs goes to `directory`.
    pub(crate) fn create(directory: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "cluster-ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key)?;
        let authority = Self { directory: directory.to_owned(), issuer: Issuer::new(params, key) };
        write(&authority.certificate(), &certificate.pem())?;
        Ok(authority)
    }

    /// The authority's own certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    /// A server certificate for loopback, for the API server's names inside the cluster, and for these addresses.
    pub(crate) fn server(&self, name: &str, addresses: &[Ipv4Addr]) -> Result<Identity> {
        let names = ["localhost", "127.0.0.1", "10.96.0.1", "kubernetes", "kubernetes.default.svc"];
        let mut names: Vec<String> = names.map(String::from).into();
        names.extend(addresses.iter().map(Ipv4Addr::to_string));
        self.sign(name, name, &[], names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client certificate: `common_name` is the user, `organisations` are its groups.
    pub(crate) fn client(&self, name: &str, common_name: &str, organisations: &[&str]) -> Result<Identity> {
        self.sign(name, common_name, organisations, Vec::new(), ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A key pair that signs ServiceAccount tokens: (private key, public key).
    pub(crate) fn token_keys(&self) -> Result<(PathBuf, PathBuf)> {
        let pair = KeyPair::generate()?;
        let private = self.directory.join("service-account.key");
        let public = self.directory.join("service-account.pub");
        write(&private, &pair.serialize_pem())?;
        write(&public, &pair.public_key_pem())?;
        Ok((private, public))
    }

    fn sign(
        &self,
        name: &str,
        common_name: &str,
        organisations: &[&str],
        alternative_names: Vec<String>,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(alternative_names)?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        for organisation in organisations {
            params.distinguished_name.push(DnType::OrganizationName, *organisation);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.issuer).with_context(|| format!("sign {name}"))?;
        let identity = Identity {
            certificate: self.directory.join(format!("{name}.crt")),
            key: self.directory.join(format!("{name}.key")),
        };
        write(&identity.certificate, &certificate.pem())?;
        write(&identity.key, &key.serialize_pem())?;
        Ok(identity)
    }
}

fn write(path: &Path, content: &str) -> Result<()> {
    std::fs::write(path, content).with_context(|| format!("write {}", path.display()))
}
