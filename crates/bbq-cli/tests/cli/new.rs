//! `new`: what is made, and what is refused.

use crate::harness::{Directory, bbq};

#[test]
fn a_project_is_made_and_its_protos_are_fine() {
    let directory = Directory::new();
    let ended = bbq(directory.path(), &["new", "my-game"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for path in
        ["Cargo.toml", "build.rs", "proto/my-game.proto", "src/main.rs", "src/tests.rs", "README.md", ".gitignore"]
    {
        assert!(ended.out.contains(path), "{path}");
        assert!(directory.path().join("my-game").join(path).is_file(), "{path}");
    }
    assert!(directory.read("my-game/proto/my-game.proto").contains("package my_game;"));
    let checked = bbq(&directory.path().join("my-game"), &["check"]);
    assert!(checked.out.starts_with("fine: "), "{checked:?}");
}

#[test]
fn nothing_is_overwritten() {
    let directory = Directory::new().with("game/precious", "x");
    let ended = bbq(directory.path(), &["new", "game"]);
    assert_eq!(ended.code, 1);
    assert!(ended.err.starts_with("error[BBQ-0011]: game is there and not empty\n"), "{ended:?}");
    assert_eq!(bbq(directory.path(), &["new", "game", "--path", "game/precious"]).code, 1);
    assert_eq!(bbq(directory.path(), &["new", "game", "--path", "elsewhere/deep"]).code, 0);
    assert!(directory.read("elsewhere/deep/Cargo.toml").contains("name = \"game\""));
}

#[test]
fn bad_names_say_why() {
    let directory = Directory::new();
    let ended = bbq(directory.path(), &["new", "My Game"]);
    assert!(ended.err.starts_with("error[BBQ-0010]: `My Game` does not work"), "{ended:?}");
    assert!(ended.err.contains("cause: it does not begin with a lower case letter"), "{ended:?}");
}
