//! The ways on which messages leave.

use std::time::Duration;

use super::message::Message;
use super::server_certificates::AskedServer;
use super::smtp::Smtp;
use super::webhook::Webhook;

/// One way.
#[derive(Clone)]
pub enum Channel {
    Webhook(Webhook),
    Smtp(Smtp),
}

impl Channel {
    /// Its name in the store, in metrics and in the configuration.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Smtp(_) => "smtp",
        }
    }

    /// Where it leads, without secrets.
    #[must_use]
    pub fn place(&self) -> &str {
        match self {
            Self::Webhook(webhook) => webhook.place(),
            Self::Smtp(smtp) => smtp.place(),
        }
    }

    /// Its server as it is asked for its certificate, and that certificate's name in sentences; `None` without TLS.
    #[must_use]
    pub fn asked(&self) -> Option<(&'static str, AskedServer)> {
        match self {
            Self::Webhook(webhook) => Some(("the certificate of the webhook's server", webhook.asked()?)),
            Self::Smtp(smtp) => Some(("the certificate of the mail server", smtp.asked()?)),
        }
    }

    /// How long one message may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        match self {
            Self::Webhook(webhook) => webhook.timeout(),
            Self::Smtp(smtp) => smtp.timeout(),
        }
    }

    /// Sends a message, and returns what the server answered.
    ///
    /// # Errors
    /// Why it did not arrive, without secrets.
    pub async fn send(&self, message: &Message) -> Result<String, String> {
        let send = async {
            match self {
                Self::Webhook(webhook) => webhook.send(message).await,
                Self::Smtp(smtp) => smtp.send(message).await,
            }
        };
        let late = || Err(format!("no answer within {} s", self.timeout().as_secs()));
        tokio::time::timeout(self.timeout(), Box::pin(send)).await.unwrap_or_else(|_| late())
    }
}
