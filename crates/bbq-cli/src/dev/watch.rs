//! Tells when the sources of a project change.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{EventKind, ModifyKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

use crate::codes::Code;
use crate::failure::{Failure, Result};

/// Directories that are watched with everything below.
const DIRECTORIES: [&str; 2] = ["proto", "src"];
/// Files beside them.
const FILES: [&str; 2] = ["Cargo.toml", "build.rs"];
/// A save is many events. It is over when nothing was heard for so long ..
const QUIET: Duration = Duration::from_millis(80);
/// .. or, when something writes all the time, after this.
const PATIENCE: Duration = Duration::from_millis(800);
/// Changes that wait. More are not kept: one is enough to build again.
const QUEUE: usize = 64;

/// Watches until it is dropped.
#[derive(Debug)]
pub(crate) struct Changes {
    changes: mpsc::Receiver<PathBuf>,
    root: PathBuf,
    watcher: RecommendedWatcher,
}

impl Changes {
    pub(crate) fn of(root: &Path) -> Result<Self> {
        let failed = |why: notify::Error| {
            Failure::new(Code::WATCH, format!("{} cannot be watched", root.display()))
                .because(why)
                .fix("raise fs.inotify.max_user_watches, or leave --watch out")
        };
        // Events have the paths of the system, without links.
        let root = std::fs::canonicalize(root).map_err(|why| Failure::read(root, &why))?;
        let (sender, changes) = mpsc::channel(QUEUE);
        let base = root.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let Ok(event) = event else { return };
            for path in event.paths.iter().filter(|path| matters(&event.kind, path, &base)) {
                drop(sender.try_send(path.clone()));
            }
        })
        .map_err(failed)?;
        // The root alone sees files that editors replace, and directories that are made later.
        watcher.watch(&root, RecursiveMode::NonRecursive).map_err(failed)?;
        watch_directories(&mut watcher, &root).map_err(failed)?;
        Ok(Self { changes, root, watcher })
    }

    /// A file of the next change, as seen from the project. Nothing is lost when the future is dropped before
    /// a change begins.
    pub(crate) async fn next(&mut self) -> String {
        let Some(mut named) = self.changes.recv().await else { return std::future::pending().await };
        let over = tokio::time::sleep(PATIENCE);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => break,
                () = tokio::time::sleep(QUIET) => break,
                change = self.changes.recv() => match change {
                    // Editors write a new file and rename it: the one that is still there is what people know.
                    Some(path) if !named.exists() => named = path,
                    Some(_) => {}
                    None => break,
                },
            }
        }
        // A directory that was removed and made again is another one.
        if let Err(why) = watch_directories(&mut self.watcher, &self.root) {
            tracing::warn!(%why, "changes of some files will not be seen");
        }
        named.strip_prefix(&self.root).unwrap_or(&named).display().to_string()
    }
}

fn watch_directories(watcher: &mut RecommendedWatcher, root: &Path) -> notify::Result<()> {
    let mut there = DIRECTORIES.map(|name| root.join(name)).into_iter().filter(|path| path.is_dir());
    there.try_for_each(|path| watcher.watch(&path, RecursiveMode::Recursive))
}

fn matters(kind: &EventKind, path: &Path, root: &Path) -> bool {
    let changes = match kind {
        EventKind::Create(_) | EventKind::Remove(_) => true,
        EventKind::Modify(what) => !matches!(what, ModifyKind::Metadata(_)),
        _ => false,
    };
    let Ok(path) = path.strip_prefix(root) else { return false };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // What editors leave beside a file while it is written.
    let is_scratch =
        name.starts_with('.') || name.ends_with('~') || name.ends_with(".tmp") || name.parse::<u32>().is_ok();
    let is_source =
        DIRECTORIES.iter().any(|directory| path.starts_with(directory)) || FILES.contains(&&*path.to_string_lossy());
    changes && is_source && !is_scratch
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, DataChange, MetadataKind};

    use super::*;

    #[test]
    fn only_changes_of_sources_matter() {
        let root = Path::new("/game");
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        for (path, matters_to_us) in [
            ("/game/src/room.rs", true),
            ("/game/proto/deep/a.proto", true),
            ("/game/Cargo.toml", true),
            ("/game/Cargo.lock", false),
            ("/game/target/debug/game", false),
            ("/game/src/.room.rs.swp", false),
            ("/game/src/room.rs~", false),
            ("/game/src/4913", false),
            ("/elsewhere/src/room.rs", false),
        ] {
            assert_eq!(matters(&written, Path::new(path), root), matters_to_us, "{path}");
        }
        let path = Path::new("/game/src/room.rs");
        assert!(matters(&EventKind::Create(CreateKind::File), path, root));
        assert!(!matters(&EventKind::Modify(ModifyKind::Metadata(MetadataKind::AccessTime)), path, root));
        assert!(!matters(&EventKind::Access(notify::event::AccessKind::Read), path, root));
    }

    #[tokio::test]
    async fn a_save_is_one_change() {
        let root = std::env::temp_dir().join(format!("bbq-watch-{}", std::process::id()));
        std::fs::create_dir_all(root.join("src")).expect("a directory");
        let mut changes = Changes::of(&root).expect("a watch");
        std::fs::write(root.join("src/a.rs"), "one").expect("a file");
        std::fs::write(root.join("src/a.rs"), "two").expect("a file");
        let change = tokio::time::timeout(Duration::from_secs(10), changes.next()).await.expect("a change");
        assert_eq!(change, "src/a.rs");
        assert!(changes.changes.try_recv().is_err(), "all of it was one change");
        std::fs::write(root.join("src/draft"), "three").expect("a file");
        std::fs::rename(root.join("src/draft"), root.join("src/a.rs")).expect("renamed");
        let change = tokio::time::timeout(Duration::from_secs(10), changes.next()).await.expect("a change");
        assert_eq!(change, "src/a.rs", "and not the draft");
        std::fs::remove_dir_all(root.join("src")).expect("gone");
        tokio::time::timeout(Duration::from_secs(10), changes.next()).await.expect("a change");
        std::fs::create_dir(root.join("src")).expect("a directory");
        tokio::time::timeout(Duration::from_secs(10), changes.next()).await.expect("a change");
        std::fs::write(root.join("src/b.rs"), "four").expect("a file");
        let change = tokio::time::timeout(Duration::from_secs(10), changes.next()).await.expect("a change");
        assert_eq!(change, "src/b.rs", "a new directory is watched like the old one");
        std::fs::remove_dir_all(&root).expect("gone");
    }
}
