//! From a reference to the version it means, and to the place where that has its files.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::json;
use volley_model::Limits;

use super::answers::{
    DownloadUri, LoggedModel, LoggedModels, ModelVersion, OneLoggedModel, OneRun, OneVersion, Versions,
};
use super::client::Side;
use super::fault::MlflowFault;
use super::place::Place;
use super::{Mlflow, PAGES_MAX, unknown_alias};
use crate::artifacts::Bounds;
use crate::embedded::listed;
use crate::error::{Error, Nearest};
use crate::{MlflowRef, Origin, Which};

/// A model of the server, found and not yet fetched.
#[derive(Debug)]
pub(super) struct Found {
    pub label: String,
    pub origin: Origin,
    pub place: Place,
    pub tags: BTreeMap<String, String>,
    pub aliases: Vec<String>,
}

impl Mlflow {
    pub(super) async fn find(&self, reference: &MlflowRef) -> Result<Found, Error> {
        match reference {
            MlflowRef::Registered { name, which } => self.registered(name, which).await,
            MlflowRef::Stage { name, stage } => self.latest(name, Some(stage)).await,
            MlflowRef::Logged(id) => self.logged(id).await,
            MlflowRef::Run { run, path } => self.of_run(run, path).await,
        }
    }

    async fn registered(&self, name: &str, which: &Which) -> Result<Found, Error> {
        let what = format!("model {name}");
        let answer: Result<OneVersion, _> = match which {
            Which::Number(version) => {
                let query = [("name", name), ("version", &version.to_string())];
                self.client.get(Side::Registry, "model-versions/get", &query, &what).await
            }
            Which::Alias(alias) => {
                let query = [("name", name), ("alias", alias.as_str())];
                self.client.get(Side::Registry, "registered-models/alias", &query, &what).await
            }
            Which::Latest => return self.latest(name, None).await,
        };
        match answer {
            Ok(OneVersion { model_version }) => match which {
                Which::Number(asked) if *asked != model_version.version => Err(self.other_version(&model_version)),
                _ => self.found(name, model_version).await,
            },
            Err(fault) => Err(self.not_found(fault, name, which).await),
        }
    }

    /// The newest version in a stage, or of all.
    async fn latest(&self, name: &str, stage: Option<&str>) -> Result<Found, Error> {
        let mut body = json!({ "name": name });
        if let Some(stage) = stage {
            body["stages"] = json!([stage]);
        }
        let (path, what) = ("registered-models/get-latest-versions", format!("model {name}"));
        let answer: Result<Versions, _> = self.client.send(Side::Registry, Method::POST, path, &body, &what).await;
        match answer {
            // One for each stage.
            Ok(found) => match found.model_versions.into_iter().max_by_key(|version| version.version) {
                Some(version) => self.found(name, version).await,
                None => Err(self.without_version(name, stage)),
            },
            Err(fault) => Err(self.not_found(fault, name, &Which::Latest).await),
        }
    }

    fn without_version(&self, name: &str, stage: Option<&str>) -> Error {
        let server = self.url().to_owned();
        let reason = match stage {
            Some(stage) => {
                format!("model `{name}` has no version in stage `{stage}`; an alias is written `models:/{name}@ALIAS`")
            }
            None => format!("model `{name}` has no version"),
        };
        MlflowFault::Missing { server, reason }.into()
    }

    /// A version with the place of its files.
    async fn found(&self, name: &str, version: ModelVersion) -> Result<Found, Error> {
        if version.version == 0 {
            return Err(self.other_version(&version));
        }
        let label = format!("{name}/{}", version.version);
        check_ready(&label, &version.status, "READY")?;
        let number = version.version.to_string();
        let query = [("name", name), ("version", number.as_str())];
        let path = "model-versions/get-download-uri";
        let answer: DownloadUri = self.client.get(Side::Registry, path, &query, &format!("model {name}")).await?;
        let place = Place::parse(&answer.artifact_uri, self.client.tracking(), &label)?;
        let of = (name, Some(version.version), version.creation_timestamp);
        Ok(Found {
            place: self.settled(place, &label).await?,
            origin: self.origin(of, &version.source, &version.run_id),
            label,
            tags: version.tags.into_iter().map(|tag| (tag.key, tag.value)).collect(),
            aliases: version.aliases,
        })
    }

    /// An answer that is read leniently may be one to another question.
    fn other_version(&self, found: &ModelVersion) -> Error {
        let reason = match found.version {
            0 => "it was asked for a version, and its answer holds none".to_owned(),
            number => format!("it was asked for another version, and its answer is version {number}"),
        };
        MlflowFault::NotMlflow { url: self.url().to_owned(), reason }.into()
    }

    async fn logged(&self, id: &str) -> Result<Found, Error> {
        let model = self.logged_model(id).await?;
        self.of_logged(format!("models:/{id}"), model)
    }

    async fn logged_model(&self, id: &str) -> Result<LoggedModel, Error> {
        let answer: OneLoggedModel =
            self.client.get(Side::Tracking, &format!("logged-models/{id}"), &[], &format!("models:/{id}")).await?;
        Ok(answer.model)
    }

    fn of_logged(&self, label: String, model: LoggedModel) -> Result<Found, Error> {
        let info = model.info;
        check_ready(&label, &info.status, "LOGGED_MODEL_READY")?;
        let place = self.place(&info.artifact_uri, &label)?;
        let of = (info.name.as_str(), None, info.creation_timestamp_ms);
        let origin = self.origin(of, &format!("models:/{}", info.model_id), &info.source_run_id);
        Ok(Found { label, origin, place, tags: BTreeMap::new(), aliases: vec![] })
    }

    /// What lies below the artifacts of a run; else the model that the run logged under that name, which lies outside.
    async fn of_run(&self, run: &str, path: &str) -> Result<Found, Error> {
        let label = format!("runs:/{run}/{path}");
        let answer: OneRun = self.client.get(Side::Tracking, "runs/get", &[("run_id", run)], &label).await?;
        let info = answer.run.info;
        let place = self.place(&info.artifact_uri, &label)?.join(path);
        if self.files(Bounds::from(&Limits::default()), &label).has_any(&place).await? {
            let name = path.rsplit('/').next().unwrap_or(path);
            let origin = self.origin((name, None, info.start_time), &label, run);
            return Ok(Found { label, origin, place, tags: BTreeMap::new(), aliases: vec![] });
        }
        match self.logged_by(run, &info.experiment_id, path).await? {
            Some(model) => self.of_logged(label, model),
            None => {
                let (server, reason) = (self.client.url(Side::Tracking).to_owned(), format!("nothing lies at {label}"));
                Err(MlflowFault::Missing { server, reason }.into())
            }
        }
    }

    async fn logged_by(&self, run: &str, experiment: &str, name: &str) -> Result<Option<LoggedModel>, Error> {
        let mut body =
            json!({ "experiment_ids": [experiment], "filter": format!("name = '{}'", name.replace('\'', "")) });
        for _ in 0..PAGES_MAX {
            let (path, what) = ("logged-models/search", format!("runs:/{run}/{name}"));
            let page: LoggedModels = self.client.send(Side::Tracking, Method::POST, path, &body, &what).await?;
            let of_run = |model: &&LoggedModel| model.info.source_run_id == run && model.info.name == name;
            if let Some(model) = page.models.iter().filter(of_run).max_by_key(|model| model.info.creation_timestamp_ms)
            {
                return Ok(Some(model.clone()));
            }
            if page.next_page_token.is_empty() {
                break;
            }
            body["page_token"] = json!(page.next_page_token);
        }
        Ok(None)
    }

    /// Where the files are that a place leads to.
    async fn settled(&self, place: Place, label: &str) -> Result<Place, Error> {
        match place {
            Place::Run { run, path } => Ok(Box::pin(self.of_run(&run, &path)).await?.place),
            Place::Logged(id) => Ok(self.place(&self.logged_model(&id).await?.info.artifact_uri, label)?),
            place => Ok(place),
        }
    }

    /// The place of a run, of a logged model or of a pin, which has files and leads no further: a chain of them is no
    /// server's doing.
    pub(super) fn place(&self, uri: &str, label: &str) -> Result<Place, MlflowFault> {
        match Place::parse(uri, self.client.tracking(), label)? {
            place @ (Place::Proxy(_) | Place::Store(_)) => Ok(place),
            Place::Run { .. } | Place::Logged(_) => Err(MlflowFault::Source {
                model: label.to_owned(),
                source_uri: uri.to_owned(),
                reason: "which leads on and on".to_owned(),
            }),
        }
    }

    fn origin(&self, (name, version, created_ms): (&str, Option<u64>, i64), source: &str, run: &str) -> Origin {
        Origin {
            name: name.to_owned(),
            version,
            registry: self.url().to_owned(),
            workspace: self.client.workspace().map(str::to_owned),
            created_ms,
            source: source.to_owned(),
            run: Some(run.to_owned()).filter(|run| !run.is_empty()),
        }
    }

    /// What a server says is not there, told as an embedded registry tells it: by what there is.
    pub(super) async fn not_found(&self, fault: MlflowFault, name: &str, which: &Which) -> Error {
        if !matches!(fault, MlflowFault::Missing { .. }) {
            return fault.into();
        }
        let aliases = match self.aliases(name).await {
            Ok(aliases) => aliases,
            Err(error) => return error,
        };
        match which {
            Which::Alias(alias) => unknown_alias(name, alias, &aliases),
            Which::Number(version) => match self.all_versions(Some(name)).await {
                Ok(versions) => {
                    let deleted = versions.last().is_some_and(|last| last.version > *version) && *version > 0;
                    let known = listed(versions.iter().rev().map(|version| version.version.to_string()));
                    Error::UnknownVersion { name: name.to_owned(), version: *version, deleted, known }
                }
                Err(error) => error,
            },
            Which::Latest => fault.into(),
        }
    }

    pub(super) async fn unknown_model(&self, name: &str) -> Error {
        let names = self.names().await.unwrap_or_default();
        let nearest = Nearest::among(name, names.iter().map(String::as_str));
        Error::UnknownModel { name: name.to_owned(), registry: self.url().to_owned(), nearest }
    }
}

/// Servers that know no status say none.
fn check_ready(label: &str, status: &str, ready: &str) -> Result<(), MlflowFault> {
    match status.is_empty() || status == ready || status == "READY" {
        true => Ok(()),
        false => Err(MlflowFault::NotReady { model: label.to_owned(), status: status.to_owned() }),
    }
}
