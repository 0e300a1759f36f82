//! The table of users (`[store] users_table`): who may sign in to the application. Only `service::UserService` writes
//! here.

use super::sql::{ListUsers, PutUser};
use super::{RowReader, Store, StoreError, StoreTransaction};

/// A row of the table.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredUser {
    pub username: String,
    pub display_name: String,
    pub role: String,
    pub email: Option<String>,
    pub department: Option<String>,
    /// Argon2id, in the PHC string form.
    pub password_hash: String,
}

/// The hash stays out.
impl std::fmt::Debug for StoredUser {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("StoredUser")
            .field("username", &self.username)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Every user, by name.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub async fn users(&self) -> Result<Vec<StoredUser>, StoreError> {
        let operation = "read users";
        let mut transaction = self.begin_read(operation).await?;
        let rows = transaction.fetch(ListUsers {}).await?;
        transaction.rollback().await?;
        rows.rows
            .into_iter()
            .map(|row| {
                let mut reader = RowReader::new(operation, row);
                Ok(StoredUser {
                    username: reader.text()?,
                    display_name: reader.text()?,
                    role: reader.text()?,
                    email: reader.optional_text()?,
                    department: reader.optional_text()?,
                    password_hash: reader.text()?,
                })
            })
            .collect()
    }
}

impl StoreTransaction {
    /// Inserts or updates a user.
    ///
    /// # Errors
    /// The database's error.
    pub async fn put_user(&mut self, user: &StoredUser) -> Result<(), StoreError> {
        let statement = PutUser {
            username: &user.username,
            display_name: &user.display_name,
            role: &user.role,
            email: user.email.as_deref(),
            department: user.department.as_deref(),
            password_hash: &user.password_hash,
        };
        self.run(statement).await.map(drop)
    }
}
