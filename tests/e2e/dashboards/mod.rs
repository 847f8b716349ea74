//! The dashboards, and the rules for alerts: that they keep the house's rules, and that every query of theirs has data when a real cluster
//! is scraped by a real VictoriaMetrics.
//!
//! Separate from `metrics`, which looks at what is exported: here is what becomes of it behind the scraper. Grafana itself is not run: what it
//! does with a query, the variables and the time, is done here.

mod alive;
mod fires;
mod grafana;
mod lint;
mod model;
mod queries;
mod rules;
mod stack;
