// SPDX-License-Identifier: MIT OR Apache-2.0
//! The book of this repository, without a guest: every link and include leads somewhere, and every driver has its page.

use blockyard_book::{Book, problems, without_page};
use blockyard_lab::workspace;

#[test]
fn links_and_includes_lead_somewhere_and_pages_are_whole() {
    let book = Book::open().expect("the book can be read");
    assert!(book.pages.len() > 1, "a book of {} pages", book.pages.len());
    let drivers = workspace::kernel_side().expect("the kernel side").join("drivers");
    let found = [problems(&book, &drivers), without_page(&book, &drivers)].concat();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn every_example_has_commands() {
    let book = Book::open().expect("the book can be read");
    for page in book.examples() {
        assert!(page.entries.len() >= 3, "{} types {} commands", page.name(), page.entries.len());
    }
}
