//! How mail is sent.

use crate::vocabulary;

vocabulary! {
    /// How the connection to a mail server is protected.
    pub enum SmtpTls {
        /// It begins in the open, and must change to TLS before anything else is sent.
        StartTls = "starttls",
        /// From the first byte on.
        Tls = "tls",
        /// Not at all.
        None = "none",
    }
}
