//! Users: passwords are kept as argon2id hashes only.

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Argon2, PasswordHash};

use crate::database::rerun;
use crate::domain::secret::Secret;
use crate::domain::user::User;
use crate::store::{Store, StoredUser};

use super::ServiceError;

/// What writing a user did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserChange {
    /// It did not exist.
    Created,
    /// It existed with other data or another password.
    Updated,
    /// It existed with the same data and password.
    Unchanged,
}

/// A user to write, with the password.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The user.
    pub user: User,
    /// The password in plain text.
    pub password: Secret,
}

/// The only writer of users.
#[derive(Clone)]
pub struct UserService {
    store: Store,
}

impl UserService {
    /// Writes into this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Writes these users, all or none of them. Returns the result of each, in the same order.
    ///
    /// # Errors
    /// When the store cannot be reached or a hash cannot be made; nothing is then written.
    pub async fn put(&self, users: &[NewUser]) -> Result<Vec<UserChange>, ServiceError> {
        let known = self.store.users().await?;
        let wanted = users.to_vec();
        // Argon2 is slow on purpose, so it runs off the async threads.
        let prepared = tokio::task::spawn_blocking(move || {
            wanted.iter().map(|user| prepare(user, &known)).collect::<Result<Vec<_>, _>>()
        })
        .await
        .map_err(|error| ServiceError::Password { username: String::from("*"), reason: error.to_string() })??;
        rerun("put users", || async {
            let mut transaction = self.store.begin("write users").await?;
            let changed: Vec<_> = prepared.iter().filter(|(_, change)| *change != UserChange::Unchanged).collect();
            for (row, _) in &changed {
                transaction.put_user(row).await?;
            }
            transaction.note_changes("user", changed.len());
            transaction.commit().await.map_err(ServiceError::from)
        })
        .await?;
        Ok(prepared.into_iter().map(|(_, change)| change).collect())
    }
}

fn prepare(new: &NewUser, known: &[StoredUser]) -> Result<(StoredUser, UserChange), ServiceError> {
    let username = new.user.username.as_str();
    let failed = |reason: String| ServiceError::Password { username: username.to_owned(), reason };
    let stored = known.iter().find(|user| user.username == username);
    let kept_hash = match stored {
        Some(stored) => {
            let hash = PasswordHash::new(&stored.password_hash).map_err(|error| failed(error.to_string()))?;
            let same = Argon2::default().verify_password(new.password.expose().as_bytes(), &hash).is_ok();
            same.then(|| stored.password_hash.clone())
        }
        None => None,
    };
    let password_hash = match kept_hash {
        Some(hash) => hash,
        None => Argon2::default()
            .hash_password(new.password.expose().as_bytes())
            .map_err(|error| failed(error.to_string()))?
            .to_string(),
    };
    let row = StoredUser {
        username: username.to_owned(),
        display_name: new.user.display_name.clone(),
        role: new.user.role.as_str().to_owned(),
        email: new.user.email.clone(),
        department: new.user.department.clone(),
        password_hash,
    };
    let change = match stored {
        None => UserChange::Created,
        Some(stored) if *stored == row => UserChange::Unchanged,
        Some(_) => UserChange::Updated,
    };
    Ok((row, change))
}
