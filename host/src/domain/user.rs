//! A user of the host, with the rules for a valid one. Passwords are always [`Secret`]s here.

use serde::{Deserialize, Serialize};

use super::Problem;
use super::ids::Username;
use super::secret::Secret;
use super::words::one_of;
use crate::vocabulary;
use patient_payload::rules::Rules;

/// The most characters in a display name, an address or a department.
pub const TEXT_CHARACTERS_MAX: usize = 255;
/// The fewest characters in a password.
pub const PASSWORD_CHARACTERS_MIN: usize = 8;
/// The most characters in a password; more would only make hashing slow.
pub const PASSWORD_CHARACTERS_MAX: usize = 128;

vocabulary! {
    /// What a user does in the hospital.
    pub enum Role {
        /// Runs the host.
        Admin = "admin",
        /// A physician.
        Doctor = "doctor",
        /// A nurse.
        Nurse = "nurse",
        /// Reads images.
        Radiologist = "radiologist",
        /// Works in the laboratory.
        LabTech = "labtech",
    }
}

/// A valid user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name for signing in; also the key.
    pub username: Username,
    /// The name that is shown to other users.
    pub display_name: String,
    /// What the user does.
    pub role: Role,
    /// Electronic mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Department of the hospital.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
}

/// A user as it was entered, not checked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "the fields are documented on `User`")]
pub struct UserDraft {
    pub username: Option<String>,
    pub display_name: Option<String>,
    pub role: Option<String>,
    pub email: Option<String>,
    pub department: Option<String>,
}

impl UserDraft {
    /// The names of all fields, the required ones first.
    pub const FIELDS: &'static [&'static str] = &["username", "display_name", "role", "email", "department"];

    /// The field of this name, for writing; `None` when there is no such field.
    pub fn field_mut(&mut self, name: &str) -> Option<&mut Option<String>> {
        match name {
            "username" => Some(&mut self.username),
            "display_name" => Some(&mut self.display_name),
            "role" => Some(&mut self.role),
            "email" => Some(&mut self.email),
            "department" => Some(&mut self.department),
            _ => None,
        }
    }

    /// Checks every field and builds the user.
    ///
    /// # Errors
    /// Every problem of the draft, in the order of the fields; never an empty list.
    pub fn validate(&self) -> Result<User, Vec<Problem>> {
        let mut rules = Rules::default();
        let username = rules
            .required("username", self.username.as_ref(), Username::CHARACTERS_MAX)
            .and_then(|text| Username::new(text).map_err(|error| rules.note("username", error.to_string())).ok());
        let display_name = rules.required("display_name", self.display_name.as_ref(), TEXT_CHARACTERS_MAX);
        let role = rules.required("role", self.role.as_ref(), TEXT_CHARACTERS_MAX).and_then(|text| {
            let role = Role::from_word(&text);
            if role.is_none() {
                rules.note("role", format!("is not one of {}", one_of(Role::WORDS)));
            }
            role
        });
        let email = rules.optional("email", self.email.as_ref(), TEXT_CHARACTERS_MAX);
        let email = rules.email("email", email);
        let department = rules.optional("department", self.department.as_ref(), TEXT_CHARACTERS_MAX);
        match (username, display_name, role) {
            (Some(username), Some(display_name), Some(role)) if rules.is_clean() => {
                Ok(User { username, display_name, role, email, department })
            }
            _ => Err(rules.into_problems()),
        }
    }
}

/// Checks that a password may be used. The error is a lower-case fragment.
///
/// # Errors
/// When it is too short, too long, or holds a NUL character.
pub fn check_password(password: &Secret) -> Result<(), String> {
    let characters = password.expose().chars().count();
    if characters < PASSWORD_CHARACTERS_MIN {
        Err(format!("is too short: at least {PASSWORD_CHARACTERS_MIN} characters"))
    } else if characters > PASSWORD_CHARACTERS_MAX {
        Err(format!("is too long: at most {PASSWORD_CHARACTERS_MAX} characters"))
    } else if password.expose().contains('\0') {
        Err("must not contain a NUL character".to_owned())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> UserDraft {
        UserDraft {
            username: Some("doctor".to_owned()),
            display_name: Some(" Dr. Han ".to_owned()),
            role: Some("doctor".to_owned()),
            ..UserDraft::default()
        }
    }

    #[test]
    fn valid_user_is_trimmed() {
        let user = draft().validate().unwrap();
        assert_eq!((user.display_name.as_str(), user.role), ("Dr. Han", Role::Doctor));
    }

    #[test]
    fn every_problem_of_a_user_is_listed() {
        let draft = UserDraft {
            username: Some("dr han".to_owned()),
            display_name: Some("  ".to_owned()),
            role: Some("Doctor".to_owned()),
            email: Some("nowhere".to_owned()),
            department: Some(String::new()),
        };
        let fields: Vec<_> = draft.validate().unwrap_err().iter().map(|problem| problem.field).collect();
        assert_eq!(fields, UserDraft::FIELDS);
    }

    #[test]
    fn every_field_can_be_set_by_name() {
        let mut draft = UserDraft::default();
        for field in UserDraft::FIELDS {
            *draft.field_mut(field).unwrap() = Some((*field).to_owned());
        }
        assert!(draft.field_mut("password").is_none());
        assert_eq!(draft.department.as_deref(), Some("department"));
    }

    #[test]
    fn passwords_have_a_minimum_and_maximum_length() {
        let check = |text: &str| check_password(&Secret::new(text.to_owned()));
        assert!(check("short").is_err());
        assert!(check("long enough").is_ok());
        assert!(check(&"x".repeat(129)).is_err());
        assert!(check("long\0enough").is_err());
    }
}
