// SPDX-License-Identifier: MIT OR Apache-2.0
//! The targets of all links on the pages, and all files that they name, exist.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.chain(["README.md", "SECURITY.md", "CONTRIBUTING.md"].map(|page| root().join(page))).collect()
}

#[test]
fn every_link_to_a_page_leads_to_one() {
    let (mut dead, mut count) = (Vec::new(), 0);
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.starts_with('#') || link.contains(' ') {
                continue;
            }
            count += 1;
            let file = link.split('#').next().unwrap();
            if !page.parent().unwrap().join(file).exists() {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(count > 25, "only {count} links were found");
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

#[test]
fn every_file_that_is_named_is_there() {
    let (mut missing, mut count) = (Vec::new(), 0);
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let outside = text.split("```").step_by(2).collect::<String>();
        for name in outside.split('`').skip(1).step_by(2) {
            let name = name.split_whitespace().next().unwrap_or_default();
            let is_ours = ["src/", "crates/", "tests/", "scripts/", "conf/", "docs/", "include/"];
            if !is_ours.iter().any(|folder| name.starts_with(folder)) || name.contains(['*', '{', 'N']) {
                continue;
            }
            count += 1;
            if !root().join(name).exists() {
                missing.push(format!("{}: {name}", page.display()));
            }
        }
    }
    assert!(count > 60, "only {count} files were found");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn every_picture_is_on_a_page_and_has_a_text_alternative() {
    let pages: String = pages().iter().map(|page| fs::read_to_string(page).unwrap()).collect();
    let pictures: Vec<PathBuf> =
        fs::read_dir(root().join("docs/pictures")).unwrap().map(|entry| entry.unwrap().path()).collect();
    for picture in &pictures {
        let name = picture.file_name().unwrap().to_str().unwrap();
        let before = pages.split_once(&format!("pictures/{name})")).unwrap_or_else(|| panic!("no page shows {name}")).0;
        let alternative = before.rsplit_once("![").unwrap().1;
        assert!(alternative.len() > 15 && !alternative.contains('\n'), "{name}: alternative text: {alternative}");
        let text = fs::read_to_string(picture).unwrap();
        assert!(text.contains("<title>"), "{name}: no <title>");
        // Browsers load nothing else for an image, and the site loads nothing from another host.
        for outside in ["href=\"http", "url(http", "@import", "<script"] {
            assert!(!text.contains(outside), "{name}: {outside}");
        }
    }
    assert!(pictures.len() > 8, "only {} pictures were found", pictures.len());
}
