//! Pages: what people see, what they do not, and that nothing which somebody pushed becomes part of a page's markup.

mod accounts;
mod clean_up;
mod crawl;
mod door;
mod escaping;
mod forms;
mod html;
mod new_repository;
mod settings;
mod shown;
pub mod stock;
mod upkeep;
mod visibility;
