//! Resource limits as a spec writes them: `name,soft,hard`.
//!
//! # Format
//! getrlimit(2); names as in the OCI runtime specification (`process.rlimits`).

use crate::base::nearest;

const NAMES: [&str; 16] = [
    "RLIMIT_CPU",
    "RLIMIT_FSIZE",
    "RLIMIT_DATA",
    "RLIMIT_STACK",
    "RLIMIT_CORE",
    "RLIMIT_RSS",
    "RLIMIT_NPROC",
    "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_AS",
    "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
];

/// A resource limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// Name with its `RLIMIT_`.
    pub name: &'static str,
    /// Soft limit; `u64::MAX` for none.
    pub soft: u64,
    /// Hard limit; `u64::MAX` for none.
    pub hard: u64,
}

/// Reads `name,soft,hard`: the name in any case and with or without `RLIMIT_`, limits as numbers or `unlimited`.
///
/// # Errors
/// A message that says what is wrong.
pub fn parse_rlimit(text: &str) -> Result<Rlimit, String> {
    let parts: Vec<&str> = text.splitn(3, ',').map(str::trim).collect();
    let [name, soft, hard] = parts[..] else {
        return Err(format!("`{text}` is not a limit; write `name,soft,hard`"));
    };
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("RLIMIT_") { upper } else { format!("RLIMIT_{upper}") };
    let known = NAMES.into_iter().find(|known| *known == full);
    let name = known.ok_or_else(|| match nearest(&full, NAMES.into_iter()) {
        Some(near) => format!("unknown limit `{name}`; did you mean `{near}`?"),
        None => format!("unknown limit `{name}`"),
    })?;
    Ok(Rlimit { name, soft: bound(soft)?, hard: bound(hard)? })
}

fn bound(text: &str) -> Result<u64, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        _ if text.eq_ignore_ascii_case("unlimited") => Ok(u64::MAX),
        Ok(value) if digits => Ok(value),
        _ => Err(format!("`{text}` is not a limit; write a number or `unlimited`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_in_every_spelling() {
        let nofile = |soft, hard| Ok(Rlimit { name: "RLIMIT_NOFILE", soft, hard });
        for text in ["nofile,1,2", " nofile , 1 , 2 ", "RLIMIT_NOFILE,1,2"] {
            assert_eq!(parse_rlimit(text), nofile(1, 2), "{text}");
        }
        assert_eq!(parse_rlimit("Nofile,unlimited,UNLIMITED"), nofile(u64::MAX, u64::MAX));
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        let rows = [
            ("nofile,1", "`nofile,1` is not a limit; write `name,soft,hard`"),
            ("nofile,a,2", "`a` is not a limit; write a number or `unlimited`"),
            ("nofile,-1,2", "`-1` is not a limit; write a number or `unlimited`"),
            ("nofile,1,2,3", "`2,3` is not a limit; write a number or `unlimited`"),
            ("nofiles,1,2", "unknown limit `nofiles`; did you mean `RLIMIT_NOFILE`?"),
        ];
        for (text, message) in rows {
            assert_eq!(parse_rlimit(text), Err(message.to_owned()));
        }
    }
}
