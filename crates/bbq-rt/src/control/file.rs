//! The durable records of the embedded engine: one small redb file.

use std::path::{Path, PathBuf};

use bbq_core::control::Write;
use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::store::{OpenError, create_database, seal, unseal};

const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("control");

#[derive(Debug)]
pub(super) struct ControlFile {
    path: PathBuf,
    database: Database,
}

impl ControlFile {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let database = create_database(path)?;
        let file = Self { path: path.to_owned(), database };
        // Makes the table, so that reading finds it.
        file.write(Vec::new())?;
        Ok(file)
    }

    pub(super) fn records(&self) -> Result<Vec<(String, Bytes)>, OpenError> {
        let mut records = Vec::new();
        let table = self.database.begin_read().map_err(|error| self.error(error))?;
        let table = table.open_table(RECORDS).map_err(|error| self.error(error))?;
        for row in table.iter().map_err(|error| self.error(error))? {
            let (key, value) = row.map_err(|error| self.error(error))?;
            let key = key.value();
            let value = unseal(key.as_bytes(), value.value())
                .ok_or_else(|| OpenError::damaged(&self.path, format!("the record `{key}` is damaged")))?;
            records.push((key.to_owned(), Bytes::copy_from_slice(value)));
        }
        Ok(records)
    }

    /// All or nothing; returns when it is durable.
    pub(super) fn write(&self, writes: Vec<Write>) -> Result<(), OpenError> {
        // Immediate durability is the default of a write transaction.
        let transaction = self.database.begin_write().map_err(|error| self.error(error))?;
        {
            let mut table = transaction.open_table(RECORDS).map_err(|error| self.error(error))?;
            for Write { key, value } in writes {
                match value {
                    Some(value) => table.insert(key.as_str(), seal(key.as_bytes(), &value).as_slice()),
                    None => table.remove(key.as_str()),
                }
                .map_err(|error| self.error(error))?;
            }
        }
        transaction.commit().map_err(|error| self.error(error))
    }

    fn error(&self, error: impl Into<redb::Error>) -> OpenError {
        OpenError::of(&self.path, error)
    }
}
