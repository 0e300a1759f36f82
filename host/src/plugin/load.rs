//! Loads a file as an adapter: read, admit, measure, inspect, compile (or load from the cache), link, describe.
//!
//! Each step protects the next one from the file. Before machine code exists, this process neither keeps nor runs
//! anything of the file, unless the runtime is configured to compile in this process. A load that ended a process is
//! remembered (`crashes.rs`).

use std::io::{Read as _, Seek as _};
use std::path::Path;
use std::sync::Arc;

use tempfile::NamedTempFile;
use wasmtime::component::Component;

use super::bindings::{DatabaseListerPre, DatabaseTargetPre, HttpListerPre, HttpTargetPre};
use super::cache::component_of;
use super::compiler::{Failed, compile_in_child};
use super::crashes::Mark;
use super::exports::Exports;
use super::listing::WithListing;
use super::structure::{COMPONENT_BYTES_MAX, REASON_CHARS_MAX};
use super::world::Interface;
use super::{Adapter, Admission, Compiler, Inspection, PluginError, Runtime, World, artifact, interface_0_1};
use crate::domain::words::one_line;
use crate::files;

/// Code that can be linked.
enum Compiled {
    Component(Component),
    File(NamedTempFile),
}

/// Reads an adapter's file. It must be a regular file within the size limit for adapters.
///
/// # Errors
/// [`PluginError::Unreadable`]
pub async fn read_component(path: &Path) -> Result<Vec<u8>, PluginError> {
    let owned = path.to_owned();
    let read = move || {
        files::read(&owned, COMPONENT_BYTES_MAX).map_err(|source| PluginError::Unreadable { path: owned, source })
    };
    blocking(read).await
}

impl Runtime {
    /// Inspects a file without compiling or running it.
    ///
    /// # Errors
    /// Why it is not an adapter for this host.
    pub async fn inspect(path: &Path) -> Result<Inspection, PluginError> {
        let bytes = read_component(path).await?;
        Self::inspect_bytes(&path.display().to_string(), bytes).await.map(|(inspection, _)| inspection)
    }

    /// As [`Runtime::inspect`], for bytes that are already in memory; returns them too. `name` is for messages.
    ///
    /// # Errors
    /// As [`Runtime::inspect`].
    pub async fn inspect_bytes(name: &str, bytes: Vec<u8>) -> Result<(Inspection, Vec<u8>), PluginError> {
        let name = name.to_owned();
        blocking(move || Ok((artifact::inspect(&name, &bytes)?, bytes))).await
    }

    /// Compiles an inspected adapter, only to verify that it compiles.
    ///
    /// # Errors
    /// [`PluginError::Compile`]
    pub async fn try_to_compile(
        self: &Arc<Self>,
        name: &str,
        inspection: &Inspection,
        bytes: Vec<u8>,
    ) -> Result<(), PluginError> {
        self.compiled(name, &inspection.sha256, bytes).await.map(drop)
    }

    /// Loads a file for a target that needs `world`.
    ///
    /// # Errors
    /// The step that failed, and what was expected.
    pub async fn load(self: &Arc<Self>, path: &Path, world: World) -> Result<Arc<Adapter>, PluginError> {
        let bytes = read_component(path).await?;
        self.load_file(path, bytes, world).await
    }

    /// As [`Runtime::load`], for bytes that were just read from that file.
    ///
    /// # Errors
    /// As [`Runtime::load`].
    pub async fn load_file(
        self: &Arc<Self>,
        path: &Path,
        bytes: Vec<u8>,
        world: World,
    ) -> Result<Arc<Adapter>, PluginError> {
        let owned = path.to_owned();
        let admit = move |admission: &dyn Admission, bytes: &[u8]| admission.admit_file(&owned, bytes);
        self.load_admitted(&path.display().to_string(), bytes, world, admit).await
    }

    /// As [`Runtime::load`], for bytes that do not come from a file; `name` is for messages.
    ///
    /// # Errors
    /// As [`Runtime::load`].
    pub async fn load_bytes(
        self: &Arc<Self>,
        name: &str,
        bytes: Vec<u8>,
        world: World,
    ) -> Result<Arc<Adapter>, PluginError> {
        let owned = name.to_owned();
        let admit = move |admission: &dyn Admission, bytes: &[u8]| admission.admit_kept(&owned, bytes);
        self.load_admitted(name, bytes, world, admit).await
    }

    async fn load_admitted(
        self: &Arc<Self>,
        name: &str,
        bytes: Vec<u8>,
        world: World,
        admit: impl FnOnce(&dyn Admission, &[u8]) -> Result<(), String> + Send + 'static,
    ) -> Result<Arc<Adapter>, PluginError> {
        let (runtime, owned_name) = (Arc::clone(self), name.to_owned());
        let (inspection, bytes) = blocking(move || {
            if let Some(admission) = &runtime.admission {
                admit(admission.as_ref(), &bytes).map_err(PluginError::NotAdmitted)?;
            }
            let inspection = artifact::inspect(&owned_name, &bytes)?;
            inspection.expect(&owned_name, world)?;
            Ok((inspection, bytes))
        })
        .await?;
        let turn = self.turns.of(&inspection.sha256);
        let _turn = turn.lock().await;
        self.refuse_what_crashed(name, &inspection.sha256)?;
        let compiled = self.compiled(name, &inspection.sha256, bytes).await?;
        // Marked only now: compiling takes seconds in a child process, and meanwhile the host may be killed for another
        // reason.
        let mark = self.mark(name, &inspection.sha256)?;
        let (runtime, owned_name, sha256) = (Arc::clone(self), name.to_owned(), inspection.sha256.clone());
        let (interface, lists) = (inspection.interface, inspection.lists());
        let linked = blocking(move || {
            let component = runtime.component(&owned_name, &sha256, compiled)?;
            runtime
                .link(world, interface, lists, &component)
                .map_err(|error| PluginError::Interface { name: owned_name, reason: shown(&error) })
        })
        .await?;
        let adapter = Adapter::describe(Arc::clone(self), name, inspection, linked).await;
        if let Some(mark) = mark {
            mark.survived();
        }
        adapter.map(Arc::new)
    }

    fn refuse_what_crashed(&self, name: &str, sha256: &str) -> Result<(), PluginError> {
        let reason = self.cache.as_ref().and_then(|cache| cache.crashes().reason(sha256));
        reason.map_or(Ok(()), |reason| Err(PluginError::Compile { name: name.to_owned(), reason }))
    }

    /// Marks that this process starts to load machine code, which takes some milliseconds.
    fn mark(&self, name: &str, sha256: &str) -> Result<Option<Mark>, PluginError> {
        let mark = self.cache.as_ref().map(|cache| cache.crashes().begin(sha256)).transpose();
        mark.map_err(|reason| PluginError::Compile { name: name.to_owned(), reason })
    }

    /// The compiled code: from the cache, else from the compiler.
    async fn compiled(self: &Arc<Self>, name: &str, sha256: &str, bytes: Vec<u8>) -> Result<Compiled, PluginError> {
        let failed = |reason: String| PluginError::Compile { name: name.to_owned(), reason };
        let (runtime, digest) = (Arc::clone(self), sha256.to_owned());
        let kept = move || Ok(runtime.cache.as_ref().and_then(|cache| cache.load(&runtime.engine, &digest)));
        if let Some(component) = blocking(kept).await? {
            return Ok(Compiled::Component(component));
        }
        let _permit = self.compilers.acquire().await.expect("invariant: the semaphore is never closed");
        let Compiler::Child(program) = &self.options.compiler else {
            let (runtime, owned_name, digest) = (Arc::clone(self), name.to_owned(), sha256.to_owned());
            return blocking(move || runtime.compile_here(&owned_name, &digest, &bytes)).await;
        };
        let file = self.file_to_compile_into().map_err(|error| failed(format!("there is no place for it: {error}")))?;
        let output = file.as_file().try_clone().map_err(|error| failed(error.to_string()))?;
        match compile_in_child(program, &self.options, &bytes, output).await {
            Ok(()) => Ok(Compiled::File(file)),
            Err(Failed::Refused(reason) | Failed::Unavailable(reason)) => Err(failed(reason)),
            Err(Failed::Crashed(reason)) => {
                if let Some(cache) = &self.cache {
                    cache.crashes().remember(sha256, &reason);
                }
                Err(failed(reason))
            }
        }
    }

    fn file_to_compile_into(&self) -> std::io::Result<NamedTempFile> {
        let in_cache = self.cache.as_ref().map(super::cache::Cache::begin);
        in_cache.unwrap_or_else(NamedTempFile::new)
    }

    fn compile_here(&self, name: &str, sha256: &str, bytes: &[u8]) -> Result<Compiled, PluginError> {
        let component = Component::from_binary(&self.engine, bytes)
            .map_err(|error| PluginError::Compile { name: name.to_owned(), reason: shown(&error) })?;
        if let Some(cache) = &self.cache {
            cache.store(sha256, &component);
        }
        Ok(Compiled::Component(component))
    }

    /// Loads the machine code into memory.
    fn component(&self, name: &str, sha256: &str, compiled: Compiled) -> Result<Component, PluginError> {
        let failed = |reason: String| PluginError::Compile { name: name.to_owned(), reason };
        let mut file = match compiled {
            Compiled::Component(component) => return Ok(component),
            Compiled::File(file) => file,
        };
        let mut bytes = Vec::new();
        let read = file.as_file_mut().rewind().and_then(|()| file.as_file_mut().read_to_end(&mut bytes));
        read.map_err(|error| failed(format!("its machine code cannot be read: {error}")))?;
        let component = component_of(&self.engine, &bytes).map_err(failed)?;
        if let Some(cache) = &self.cache {
            cache.keep(sha256, file);
        }
        Ok(component)
    }

    /// Resolves the imports and finds the exports. Only this function compares a component's world and interface.
    fn link(
        &self,
        world: World,
        interface: Interface,
        lists: bool,
        component: &Component,
    ) -> wasmtime::Result<Arc<dyn Exports>> {
        let linker = match world {
            World::Database => &self.database_linker,
            World::Http => &self.http_linker,
        };
        let instance = linker.instantiate_pre(component)?;
        Ok(match (world, interface) {
            (World::Database, Interface::V0_2) if lists => Arc::new(WithListing {
                adapter: DatabaseTargetPre::new(instance.clone())?,
                listing: DatabaseListerPre::new(instance)?,
            }),
            (World::Http, Interface::V0_2) if lists => Arc::new(WithListing {
                adapter: HttpTargetPre::new(instance.clone())?,
                listing: HttpListerPre::new(instance)?,
            }),
            (World::Database, Interface::V0_2) => Arc::new(DatabaseTargetPre::new(instance)?),
            (World::Http, Interface::V0_2) => Arc::new(HttpTargetPre::new(instance)?),
            (World::Database, Interface::V0_1) => Arc::new(interface_0_1::DatabaseTargetPre::new(instance)?),
            (World::Http, Interface::V0_1) => Arc::new(interface_0_1::HttpTargetPre::new(instance)?),
        })
    }
}

/// Formats wasmtime's report as one line, because names in it come from the file.
fn shown(error: &wasmtime::Error) -> String {
    one_line(&format!("{error:#}"), REASON_CHARS_MAX)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PluginError> + Send + 'static,
) -> Result<T, PluginError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(PluginError::Engine(format!("loading was aborted: {error}"))),
    }
}
