//! A registry in memory that takes what is pushed and, unlike docker's, lists what refers to a manifest.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use lkit::base::Digest;
use serde_json::{Value, json};

use super::scripted::{Answer, Request, Scripted};

/// Whether a registry lists referrers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lists {
    /// So many on a page.
    Pages(usize),
    /// It does not know of such lists, so that clients keep them under a tag.
    Not,
}

/// What a registry holds.
#[derive(Default)]
pub struct Held {
    /// By repository and digest.
    pub blobs: HashMap<(String, String), Vec<u8>>,
    /// Media type and bytes, by repository and tag or digest.
    pub manifests: HashMap<(String, String), (String, Vec<u8>)>,
}

/// The registry.
pub struct Shelf {
    pub server: Scripted,
    held: Arc<Mutex<Held>>,
}

impl Shelf {
    pub fn start(lists: Lists) -> Self {
        Self::meddled(lists, |_, _, _| None)
    }

    /// The same where `meddle` may answer first; it gets what [`Scripted::start`] gives, and what is held.
    pub fn meddled(
        lists: Lists,
        meddle: impl Fn(&Request, usize, &mut Held) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let held = Arc::<Mutex<Held>>::default();
        let inner = held.clone();
        let server = Scripted::start(move |request, before| {
            let mut held = inner.lock().unwrap();
            meddle(request, before, &mut held).unwrap_or_else(|| held.answer(request, lists))
        });
        Self { server, held }
    }

    pub fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    /// The questions so far with a method, as their paths.
    pub fn asked(&self, method: &str) -> Vec<String> {
        let asked = self.server.asked("/v2/").into_iter().filter(|request| request.method == method);
        asked.map(|request| request.path).collect()
    }
}

impl Held {
    /// Keeps a manifest under a name and its digest.
    pub fn keep(&mut self, repository: &str, name: &str, media_type: &str, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        for name in [name, &digest.to_string()] {
            let place = (repository.to_owned(), name.to_owned());
            self.manifests.insert(place, (media_type.to_owned(), bytes.to_vec()));
        }
        digest
    }

    fn answer(&mut self, request: &Request, lists: Lists) -> Answer {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let Some((rest, name)) = path.strip_prefix("/v2/").and_then(|path| path.rsplit_once('/')) else {
            return Answer::new(200, "");
        };
        let method = request.method.as_str();
        if let Some(repository) = rest.strip_suffix("/blobs/uploads") {
            return self.upload(request, repository, query, name);
        }
        match (method, rest.rsplit_once('/')) {
            (_, Some((repository, "blobs"))) => match self.blobs.get(&(repository.to_owned(), name.to_owned())) {
                Some(_) if method == "HEAD" => Answer::new(200, ""),
                Some(bytes) => Answer::part_of(bytes, request),
                None => Answer::new(404, ""),
            },
            ("PUT", Some((repository, "manifests"))) => self.put(request, repository, name, lists),
            (_, Some((repository, "manifests"))) => {
                match self.manifests.get(&(repository.to_owned(), name.to_owned())) {
                    Some((media_type, bytes)) => {
                        Answer::new(200, bytes.clone()).header("Content-Type", media_type.clone())
                    }
                    None => Answer::new(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#),
                }
            }
            (_, Some((repository, "referrers"))) => self.referrers(repository, name, query, lists),
            _ => Answer::new(404, ""),
        }
    }

    /// Says where to send a blob, and takes it there.
    fn upload(&mut self, request: &Request, repository: &str, query: &str, id: &str) -> Answer {
        let value = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)).map(|v| v.replace("%3A", ":"));
        if request.method == "POST" {
            let source = value("from=").map(|from| from.replace("%2F", "/")).zip(value("mount="));
            if let Some(bytes) = source.clone().and_then(|source| self.blobs.get(&source).cloned()) {
                self.blobs.insert((repository.to_owned(), source.unwrap().1), bytes);
                return Answer::new(201, "");
            }
            let place = format!("/v2/{repository}/blobs/uploads/1?_state=a%2Bb");
            return Answer::new(202, "").header("Location", place);
        }
        let digest = value("digest=").unwrap_or_default();
        if id != "1" || !query.starts_with("_state=a%2Bb&") || Digest::of(&request.bytes).to_string() != digest {
            return Answer::new(400, r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#);
        }
        self.blobs.insert((repository.to_owned(), digest), request.bytes.clone());
        Answer::new(201, "")
    }

    fn put(&mut self, request: &Request, repository: &str, name: &str, lists: Lists) -> Answer {
        self.keep(repository, name, &request.headers["content-type"], &request.bytes);
        let manifest: Value = serde_json::from_slice(&request.bytes).unwrap();
        match manifest["subject"]["digest"].as_str().filter(|_| lists != Lists::Not) {
            Some(subject) => Answer::new(201, "").header("OCI-Subject", subject),
            None => Answer::new(201, ""),
        }
    }

    fn referrers(&self, repository: &str, subject: &str, query: &str, lists: Lists) -> Answer {
        let Lists::Pages(length) = lists else { return Answer::new(404, "404 page not found\n") };
        let page = query.split('&').find_map(|pair| pair.strip_prefix("page=")?.parse::<usize>().ok()).unwrap_or(0);
        let mut entries = Vec::new();
        for ((other, name), (media_type, bytes)) in &self.manifests {
            let manifest: Value = serde_json::from_slice(bytes).unwrap();
            if other == repository && name.starts_with("sha256:") && manifest["subject"]["digest"] == subject {
                let kind = if manifest["artifactType"].is_string() { "/artifactType" } else { "/config/mediaType" };
                entries.push(json!({"mediaType": media_type, "digest": name, "size": bytes.len(),
                                    "artifactType": manifest.pointer(kind), "annotations": manifest["annotations"]}));
            }
        }
        entries.sort_by_key(|entry| entry["digest"].to_string());
        let shown: Vec<&Value> = entries.iter().skip(page * length).take(length).collect();
        let list = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                          "manifests": shown});
        let answer = Answer::new(200, list.to_string());
        if (page + 1) * length >= entries.len() {
            return answer;
        }
        answer.header("Link", format!("</v2/{repository}/referrers/{subject}?page={}>; rel=\"next\"", page + 1))
    }
}
