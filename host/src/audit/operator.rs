//! Who runs this process, as the operating system knows them.
//!
//! The user's number and name are the system's. The one who logged in is the kernel's, where it keeps that; only for
//! `root` it may come from `SUDO_USER`, since any other user could set that variable. `SSH_CONNECTION` is a variable
//! too, so that the address proves nothing.

use crate::domain::audit::{NAME_CHARS_MAX, Operator};
use crate::domain::words::one_line;

/// Who runs this process. `acting_as` is the name that they gave.
#[must_use]
pub fn this_operator(acting_as: Option<&str>) -> Operator {
    let (uid, user) = system::user();
    let environment = |name: &str| std::env::var(name).ok();
    Operator {
        login: login(uid, &user, system::login(), environment("SUDO_USER")),
        user,
        uid,
        acting_as: acting_as.map(name),
        machine: name(&system::machine()),
        remote: environment("SSH_CONNECTION").as_deref().and_then(remote),
    }
}

fn name(text: &str) -> String {
    // `one_line` may add one character.
    one_line(text, NAME_CHARS_MAX - 1)
}

/// The one who logged in, if that is another one.
fn login(uid: Option<i64>, user: &str, kernel: Option<String>, sudo: Option<String>) -> Option<String> {
    let sudo = sudo.filter(|_| uid == Some(0));
    kernel.or(sudo).map(|login| name(&login)).filter(|login| !login.is_empty() && login != user)
}

/// The client's address of `SSH_CONNECTION`: the first of its four words.
fn remote(connection: &str) -> Option<String> {
    let address = connection.split_whitespace().next()?;
    address.parse::<std::net::IpAddr>().ok().map(|address| address.to_string())
}

#[cfg(unix)]
mod system {
    use nix::unistd::{Uid, User};

    /// The number and the name of the user that this process runs as.
    pub(super) fn user() -> (Option<i64>, String) {
        let uid = Uid::effective();
        (Some(uid.as_raw().into()), name_of(uid))
    }

    /// The user who logged in. It stays the same behind `sudo` and `su`. Only Linux keeps it, and not in every session.
    pub(super) fn login() -> Option<String> {
        let text = std::fs::read_to_string("/proc/self/loginuid").ok()?;
        let uid = text.trim().parse::<u32>().ok().filter(|uid| *uid != u32::MAX)?;
        Some(name_of(Uid::from_raw(uid)))
    }

    pub(super) fn machine() -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }

    /// A user's name; `user 1001` where the system has no name for the number.
    fn name_of(uid: Uid) -> String {
        let known = User::from_uid(uid).ok().flatten().map(|user| super::name(&user.name));
        known.filter(|name| !name.is_empty()).unwrap_or_else(|| format!("user {uid}"))
    }
}

#[cfg(not(unix))]
mod system {
    /// The name alone, from the environment.
    pub(super) fn user() -> (Option<i64>, String) {
        let name = std::env::var("USERNAME").map(|text| super::name(&text)).unwrap_or_default();
        (None, if name.is_empty() { "unknown".to_owned() } else { name })
    }

    pub(super) fn login() -> Option<String> {
        None
    }

    pub(super) fn machine() -> String {
        std::env::var("COMPUTERNAME").unwrap_or_else(|_| "unknown".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_is_believed_about_sudo() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(login(Some(0), "root", None, text("kim")), text("kim"));
        assert_eq!(login(Some(1_001), "lee", None, text("kim")), None);
        assert_eq!(login(None, "lee", None, text("kim")), None);
        assert_eq!(login(Some(0), "root", text("park"), text("kim")), text("park"), "the kernel knows better");
        assert_eq!(login(Some(1_001), "lee", text("lee"), None), None, "the same user");
        assert_eq!(login(Some(0), "root", None, text("k\nm")), text("k m"));
    }

    #[test]
    fn the_address_of_an_ssh_client_is_an_address_or_nothing() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(remote("192.0.2.7 51515 192.0.2.1 22"), text("192.0.2.7"));
        assert_eq!(remote("2001:db8::1 51515 2001:db8::2 22"), text("2001:db8::1"));
        for wrong in ["", " ", "Kim 1 2 3", "192.0.2"] {
            assert_eq!(remote(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn this_process_has_a_user_and_a_machine() {
        let operator = this_operator(Some("Dr. Lee"));
        assert!(!operator.user.is_empty() && !operator.machine.is_empty());
        assert_eq!(operator.acting_as.as_deref(), Some("Dr. Lee"));
        assert_eq!(operator.uid.is_some(), cfg!(unix));
    }
}
