//! The ids that containers are known by: 100, 101, … over `onboot`, `onshutdown`, `services`.

use std::collections::HashMap;

use crate::spec::{IdRef, Located, Problem, Spec};

/// The first container's id.
const FIRST: u32 = 100;

/// Container name to id.
pub(super) struct Ids<'a>(HashMap<&'a str, u32>);

impl<'a> Ids<'a> {
    /// Numbers the containers of a spec; of those with one name the last counts.
    pub(super) fn of(spec: &'a Spec) -> Self {
        let containers = spec.onboot.iter().chain(&spec.onshutdown).chain(&spec.services);
        Self(containers.map(|container| container.name.value.as_str()).zip(FIRST..).collect())
    }

    /// The number that an id stands for; root's when there is none.
    ///
    /// # Errors
    /// When it names no container.
    pub(super) fn number(&self, id: Option<&Located<IdRef>>) -> Result<u32, Problem> {
        let Some(id) = id else { return Ok(0) };
        match &id.value {
            IdRef::Number(number) => Ok(*number),
            IdRef::Name(name) if name.is_empty() || name == "root" => Ok(0),
            IdRef::Name(name) => self.0.get(name.as_str()).copied().ok_or_else(|| {
                Problem::new(id.place, format!("`{name}` is not the name of a container"))
                    .hint("an id is a number, or the name of a container of this spec")
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Container;

    fn containers(names: &[&str]) -> Vec<Container> {
        names.iter().map(|n| Container { name: Located::nowhere((*n).to_owned()), ..Container::default() }).collect()
    }

    #[test]
    fn containers_are_numbered_over_all_sections() {
        let spec = Spec {
            onboot: containers(&["a", "b"]),
            onshutdown: containers(&["c"]),
            services: containers(&["d", "a"]),
            ..Spec::default()
        };
        let ids = Ids::of(&spec);
        let number = |name: &str| ids.number(Some(&Located::nowhere(IdRef::Name(name.to_owned()))));
        for (name, id) in [("b", 101), ("c", 102), ("d", 103), ("a", 104), ("root", 0), ("", 0)] {
            assert_eq!(number(name), Ok(id), "{name}");
        }
        assert_eq!(number("nobody").unwrap_err().message, "`nobody` is not the name of a container");
        assert_eq!(ids.number(Some(&Located::nowhere(IdRef::Number(7)))), Ok(7));
        assert_eq!(ids.number(None), Ok(0));
    }
}
