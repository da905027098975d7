//! Projects: create, which is documented, and the rest, which is not.

use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};

use super::{
    Errova, Permitted,
    answer::{self, Denied, Shown},
    knobs::{DuplicateName, Presence},
};
use crate::simulator::{
    credentials::{CredentialKind, after},
    dialect::Circumstances,
    reply::{Reply, Subject},
};

/// A project as the server keeps it.
#[derive(Debug)]
pub(super) struct Project {
    id: String,
    pub(super) slug: String,
    name: String,
    platform: Option<String>,
    environment: Option<String>,
    created: Timestamp,
    deleted: Option<Timestamp>,
}

/// What is true of one project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProjectTruth {
    /// The id that the API knows it by.
    pub id: String,
    /// The name in paths. Not always unique.
    pub slug: String,
    /// The name that was asked for.
    pub name: String,
    /// The platform that was asked for.
    pub platform: Option<String>,
    /// The environment that was asked for.
    pub environment: Option<String>,
    /// Since when it exists.
    pub created: Timestamp,
    /// Until when it existed.
    pub deleted_at: Option<Timestamp>,
}

impl Project {
    pub(super) fn existed(&self, at: Timestamp) -> bool {
        self.created <= at && self.deleted.is_none_or(|deleted| at < deleted)
    }

    pub(super) fn members(&self) -> Map<String, Json> {
        let mut members = Map::new();
        members.insert("id".to_owned(), json!(self.id));
        members.insert("slug".to_owned(), json!(self.slug));
        members.insert("name".to_owned(), json!(self.name));
        members.insert("platform".to_owned(), json!(self.platform));
        members.insert("environment".to_owned(), json!(self.environment));
        members
    }

    fn shown(&self) -> Shown {
        Shown {
            thing: "project",
            members: self.members(),
            value: None,
            subject: Subject {
                id: Some(self.slug.clone()),
                label: Some(self.name.clone()),
                value: None,
            },
        }
    }
}

/// Whether an undocumented route is there.
pub(super) fn present(presence: Presence) -> Result<(), Denied> {
    match presence {
        Presence::Present => Ok(()),
        Presence::Absent404 => Err(Denied::NOT_FOUND),
        Presence::Absent405 => Err(Denied(StatusCode::METHOD_NOT_ALLOWED)),
    }
}

/// `Web App` becomes `web-app`.
fn slug(name: &str) -> String {
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.join("-")
}

impl Errova {
    /// Every project ever made.
    pub(in crate::simulator) fn projects(&self) -> Vec<ProjectTruth> {
        let tell = |project: &Project| ProjectTruth {
            id: project.id.clone(),
            slug: project.slug.clone(),
            name: project.name.clone(),
            platform: project.platform.clone(),
            environment: project.environment.clone(),
            created: project.created,
            deleted_at: project.deleted,
        };
        self.projects.iter().map(tell).collect()
    }

    pub(super) fn project(&self, permitted: &Permitted<'_>) -> Result<&Project, Denied> {
        let position = self.position(permitted)?;
        Ok(&self.projects[position])
    }

    fn position(&self, permitted: &Permitted<'_>) -> Result<usize, Denied> {
        self.projects
            .iter()
            .position(|project| {
                project.deleted.is_none() && Some(project.slug.as_str()) == permitted.route.project
            })
            .ok_or(Denied::NOT_FOUND)
    }

    pub(super) fn create_project(
        &mut self,
        permitted: Permitted<'_>,
        circumstances: &mut Circumstances<'_>,
    ) -> Result<Reply, Denied> {
        let body = permitted.body()?;
        let member = |name: &str| body.get(name).and_then(Json::as_str).map(str::to_owned);
        let name = member("name").ok_or(Denied::BAD_REQUEST)?;
        let project = Project {
            id: circumstances.generator.id("prj_"),
            slug: self.free_slug(&slug(&name))?,
            name,
            platform: member("platform"),
            environment: member("environment"),
            created: circumstances.now.truth,
            deleted: None,
        };
        let status = answer::status(self.knobs.status.create, StatusCode::CREATED);
        let reply = answer::done(&self.knobs, status, project.shown());
        self.projects.push(project);
        Ok(reply)
    }

    fn free_slug(&self, wanted: &str) -> Result<String, Denied> {
        if wanted.is_empty() {
            return Err(Denied::BAD_REQUEST);
        }
        let taken = |slug: &str| {
            self.projects
                .iter()
                .any(|project| project.deleted.is_none() && project.slug == slug)
        };
        match self.knobs.project.duplicate_name {
            _ if !taken(wanted) => Ok(wanted.to_owned()),
            DuplicateName::SameSlug => Ok(wanted.to_owned()),
            DuplicateName::Conflict409 => Err(Denied::CONFLICT),
            DuplicateName::Suffix => (2..=u16::MAX)
                .map(|number| format!("{wanted}-{number}"))
                .find(|slug| !taken(slug))
                .ok_or(Denied::CONFLICT),
        }
    }

    pub(super) fn get_project(&self, permitted: Permitted<'_>) -> Result<Reply, Denied> {
        present(self.knobs.project.get)?;
        let shown = self.project(&permitted)?.shown();
        let mut reply = answer::done(&self.knobs, StatusCode::OK, shown);
        reply.committed = false;
        Ok(reply)
    }

    pub(super) fn update_project(&mut self, permitted: Permitted<'_>) -> Result<Reply, Denied> {
        present(self.knobs.project.update)?;
        let position = self.position(&permitted)?;
        let body = permitted.body()?;
        let project = &mut self.projects[position];
        if let Some(name) = body.get("name").and_then(Json::as_str) {
            name.clone_into(&mut project.name);
        }
        for (name, member) in [
            ("platform", &mut project.platform),
            ("environment", &mut project.environment),
        ] {
            if let Some(sent) = body.get(name).and_then(Json::as_str) {
                *member = Some(sent.to_owned());
            }
        }
        Ok(answer::done(&self.knobs, StatusCode::OK, project.shown()))
    }

    /// The keys go with their project.
    pub(super) fn delete_project(
        &mut self,
        permitted: Permitted<'_>,
        circumstances: &mut Circumstances<'_>,
    ) -> Result<Reply, Denied> {
        present(self.knobs.project.delete)?;
        let position = self.position(&permitted)?;
        let now = circumstances.now.truth;
        let accepted_until = after(now, self.revoke_lag(circumstances));
        let owner = self.owner(&self.projects[position]);
        let keys: Vec<String> = self
            .credentials
            .listed(CredentialKind::DsnKey, &owner, now)
            .map(|key| key.id.clone())
            .collect();
        for id in keys {
            self.credentials.revoke(&id, now, accepted_until);
        }
        self.projects[position].deleted = Some(now);
        let subject = self.projects[position].shown().subject;
        Ok(answer::deleted(&self.knobs, subject))
    }

    /// Whom the keys of a project belong to.
    pub(super) fn owner(&self, project: &Project) -> String {
        format!("{}/{}", self.organization, project.slug)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_made_of_the_words_of_the_name() {
        assert_eq!(slug("Web App"), "web-app");
        assert_eq!(slug("  API (v2) "), "api-v2");
        assert_eq!(slug("…"), "");
    }
}
