//! The table of users (`[store] users_table`): who may sign in to the application. Only `service::UserService` writes here.

use super::{Reader, Store, StoreError, StoreTransaction};
use crate::database::Value;

/// A row of the table.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredUser {
    /// The key.
    pub username: String,
    /// For people.
    pub display_name: String,
    /// For example `doctor`.
    pub role: String,
    /// Electronic mail address.
    pub email: Option<String>,
    /// Where they work.
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
        let what = "read users";
        let mut transaction = self.begin_read(what).await?;
        let sql = format!(
            "SELECT username, display_name, role, email, department, password_hash FROM {} ORDER BY username",
            self.users_table_sql()
        );
        let rows = transaction.query(&sql, &[]).await?;
        transaction.rollback().await?;
        rows.rows
            .into_iter()
            .map(|row| {
                let mut reader = Reader::new(what, row);
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

    /// The table's name in a statement.
    pub(super) fn users_table_sql(&self) -> String {
        self.database.dialect().quoted(self.users_table.as_str())
    }

    /// Makes the user's row this one.
    ///
    /// # Errors
    /// What the database says.
    pub async fn put_user(&self, transaction: &mut StoreTransaction, user: &StoredUser) -> Result<(), StoreError> {
        let columns = ["display_name", "role", "email", "department", "password_hash", "updated_at"];
        let sql = format!(
            "INSERT INTO {table} (username, display_name, role, email, department, password_hash, created_at, updated_at) \
             VALUES (:username, :display_name, :role, :email, :department, :password_hash, {now}, {now}){upsert}",
            table = self.users_table_sql(),
            now = transaction.now,
            upsert = super::sql::upsert(transaction.dialect(), "username", &columns),
        );
        let values = [
            ("username", user.username.as_str().into()),
            ("display_name", user.display_name.as_str().into()),
            ("role", user.role.as_str().into()),
            ("email", Value::from(user.email.as_deref())),
            ("department", Value::from(user.department.as_deref())),
            ("password_hash", user.password_hash.as_str().into()),
        ];
        transaction.execute(&sql, &values).await.map(drop)
    }
}
