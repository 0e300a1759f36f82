//! Messages as mail. Those of one alert are one thread.

use std::time::Duration;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::message::Message;
use super::secret::{SecretReader, read_secret};
use super::server_certificates::{AskedServer, BeforeTls};
use crate::domain::mail::SmtpTls;

/// The server, and from whom to whom mail goes.
#[derive(Clone)]
pub struct SmtpOptions {
    pub server: String,
    pub port: u16,
    pub tls: SmtpTls,
    /// Certificate authorities in PEM, trusted instead of the system's.
    pub ca_pem: Option<Vec<u8>>,
    pub login: Option<(String, SecretReader)>,
    pub from: Mailbox,
    pub to: Vec<Mailbox>,
    /// How this machine calls itself.
    pub machine: String,
    pub timeout: Duration,
}

/// A mail server.
#[derive(Clone)]
pub struct Smtp {
    options: SmtpOptions,
    /// The server and its port.
    place: String,
}

impl Smtp {
    /// Connects nothing yet.
    ///
    /// # Errors
    /// When the certificates are not understood.
    pub fn new(options: SmtpOptions) -> Result<Self, String> {
        let place = format!("{}:{}", options.server, options.port);
        let smtp = Self { options, place };
        smtp.tls()?;
        Ok(smtp)
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn timeout(&self) -> Duration {
        self.options.timeout
    }

    pub(super) async fn send(&self, message: &Message) -> Result<String, String> {
        let mail = self.mail(message).map_err(|error| format!("the mail cannot be made: {error}"))?;
        let options = &self.options;
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&options.server)
            .port(options.port)
            .tls(self.tls()?)
            .hello_name(ClientId::Domain(options.machine.clone()))
            .timeout(Some(options.timeout));
        if let Some((user, password)) = &options.login {
            let password = read_secret(password).await?;
            transport = transport.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
        }
        match transport.build::<Tokio1Executor>().send(mail).await {
            Ok(answer) => {
                let text: Vec<_> = answer.message().collect();
                Ok(format!("{} {}", answer.code(), text.join(" ")))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// The server as it is asked for its certificate; `None` without TLS.
    pub(super) fn asked(&self) -> Option<AskedServer> {
        let before = match self.options.tls {
            SmtpTls::StartTls => BeforeTls::StartTls(self.options.machine.clone()),
            SmtpTls::Tls => BeforeTls::Nothing,
            SmtpTls::None => return None,
        };
        Some(AskedServer::at(&self.options.server, self.options.port, &before))
    }

    fn tls(&self) -> Result<Tls, String> {
        let parameters = || {
            let mut builder = TlsParameters::builder(self.options.server.clone());
            if let Some(pem) = &self.options.ca_pem {
                let unusable = || "the certificate authority is not a PEM file of certificates".to_owned();
                if CertificateDer::pem_slice_iter(pem).next().is_none() {
                    return Err(unusable());
                }
                let authority = Certificate::from_pem(pem).map_err(|_| unusable())?;
                builder = builder.certificate_store(CertificateStore::None).add_root_certificate(authority);
            }
            builder.build().map_err(|error| error.to_string())
        };
        Ok(match self.options.tls {
            SmtpTls::StartTls => Tls::Required(parameters()?),
            SmtpTls::Tls => Tls::Wrapper(parameters()?),
            SmtpTls::None => Tls::None,
        })
    }

    fn mail(&self, message: &Message) -> Result<lettre::Message, lettre::error::Error> {
        let id = |name: &str| format!("<{name}@{}>", self.options.from.email.domain());
        let mut builder = MessageBuilder::new()
            .from(self.options.from.clone())
            .subject(message.subject())
            .message_id(Some(id(&message.id)))
            .raw_header(automatic())
            .header(ContentType::TEXT_PLAIN);
        for receiver in &self.options.to {
            builder = builder.to(receiver.clone());
        }
        if !message.is_first() {
            let first = id(&message.thread);
            builder = builder.in_reply_to(first.clone()).references(first);
        }
        builder.body(message.body())
    }
}

/// RFC 3834: no absence notice is to answer it.
fn automatic() -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alerts::message::tests::down;
    use crate::store::{Alert, DueSend};

    fn options() -> SmtpOptions {
        SmtpOptions {
            server: "mail.example".to_owned(),
            port: 587,
            tls: SmtpTls::StartTls,
            ca_pem: None,
            login: None,
            from: "Sync <sync@hospital.example>".parse().unwrap(),
            to: vec!["night@hospital.example".parse().unwrap(), "it@hospital.example".parse().unwrap()],
            machine: "vm".to_owned(),
            timeout: Duration::from_secs(5),
        }
    }

    fn mail(alert: Alert, sends: i64) -> String {
        let message = Message::of(&DueSend::of_tests(alert, sends), "vm", true);
        let mail = Smtp::new(options()).unwrap().mail(&message).unwrap();
        String::from_utf8(mail.formatted()).unwrap()
    }

    #[test]
    fn the_mails_of_an_alert_are_one_thread() {
        let first = "<alert-17-1700000000000-1@hospital.example>";
        let raised = mail(down(), 0);
        assert!(raised.contains(&format!("Message-ID: {first}\r\n")) && !raised.contains("References:"), "{raised}");
        assert!(raised.contains("To: night@hospital.example, it@hospital.example\r\n"), "{raised}");
        assert!(raised.contains("Auto-Submitted: auto-generated\r\n"), "{raised}");
        let ended = mail(Alert { ended_at: Some(1_700_000_600_000), ..down() }, 2);
        for header in [format!("References: {first}\r\n"), format!("In-Reply-To: {first}\r\n")] {
            assert!(ended.contains(&header), "{ended}");
        }
        assert!(ended.contains("Message-ID: <alert-17-1700000000000-3@hospital.example>\r\n"), "{ended}");
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let options = SmtpOptions { ca_pem: Some(b"hello".to_vec()), ..options() };
        let error = Smtp::new(options).err().unwrap();
        assert!(error.contains("PEM"), "{error}");
    }
}
