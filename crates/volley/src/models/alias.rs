//! `volley models alias`.

use serde_json::json;
use volley_registry::Registry;

use crate::answer::print;
use crate::args::AliasArgs;
use crate::report::Failure;

/// Points an alias at a version, or removes it.
pub async fn alias(args: &AliasArgs, registry: &Registry, json: bool) -> Result<(), Failure> {
    let (name, alias, version) = (args.name.as_str(), args.alias.as_str(), args.version);
    let told = match version {
        Some(version) => {
            registry.set_alias(name, alias, version).await?;
            format!("{name}@{alias} is now {name}/{version}\n")
        }
        None => {
            registry.delete_alias(name, alias).await?;
            format!("{name}@{alias} is removed\n")
        }
    };
    print(&json!({ "name": name, "alias": alias, "version": version }), || told, json)
}
