//! `ffrtmp jobs submit --upload`: the input goes to the master with the job, and the output comes back.
//!
//! Separate from `submit` because files move here, and from `fetch` because that one starts from a job. What can be refused
//! is refused before a byte is sent.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use ffrtmp_api::{
    client::{Client, transfer},
    job::JobSpec,
    rest::{Job, NewUpload, Upload},
};
use uuid::Uuid;

use super::fetch::{Replace, download};
use crate::{
    exit::{Failure, Result},
    progress::bytes::Transfer,
};

/// The files of one submit.
#[derive(Debug)]
pub struct Files {
    input: PathBuf,
    /// Where the output is wanted on this machine.
    output: Option<PathBuf>,
    replace: Replace,
}

impl Files {
    /// Takes the files out of a job, which is left with names in the spool. Looks at the files; sends nothing.
    pub fn of(spec: &mut JobSpec, will_fetch: bool) -> Result<Files> {
        let input = PathBuf::from(spec.input.take().unwrap_or_default());
        let files = Files {
            output: spec.output.take().map(PathBuf::from),
            replace: if spec.overwrite {
                Replace::Yes
            } else {
                Replace::No
            },
            input,
        };
        check_input(&files.input)?;
        if let Some(output) = files.output.as_ref().filter(|_| will_fetch) {
            files.replace.check(output)?;
        }
        let wanted = files.output.as_deref().unwrap_or(&files.input);
        let mut name = file_name(wanted)?;
        if files.output.is_none() {
            name = format!("{}.{}", stem(&name), extension(spec));
        }
        spec.overwrite = false;
        spec.output = Some(format!("spool:{name}"));
        spec.input = Some(format!("upload:{}", Uuid::nil()));
        Ok(files)
    }

    /// Sends the input, or finds that the master has it, and names it in the job.
    pub fn send(&self, client: &Client, spec: &mut JobSpec) -> Result {
        let upload = self.upload(client)?;
        spec.input = Some(format!("upload:{}", upload.id));
        Ok(())
    }

    fn upload(&self, client: &Client) -> Result<Upload> {
        let path = self.input.display();
        let failed = |error: transfer::TransferError| Failure::failed(format!("{path}: {error}"));
        let mut file = File::open(&self.input)
            .map_err(|error| Failure::failed(format!("--input: {path}: {error}")))?;
        let size = file.metadata().map(|metadata| metadata.len()).unwrap_or(0);
        let mut shown = Transfer::new("reading", &self.input, Some(size));
        let measured =
            transfer::measure(&mut file, &mut |bytes| shown.update(bytes)).map_err(failed)?;
        drop(shown);
        let upload = client.create_upload(&NewUpload {
            bytes: measured.bytes,
            name: Some(file_name(&self.input)?),
            sha256: Some(measured.sha256),
        })?;
        if upload.complete {
            eprintln!("ffrtmp: {path} is on the master already; it is not sent again");
            return Ok(upload);
        }
        if upload.offset > 0 {
            eprintln!(
                "ffrtmp: going on with {path}: {} of {} bytes are on the master",
                upload.offset, upload.bytes
            );
        }
        let mut shown = Transfer::new("sending", &self.input, Some(measured.bytes));
        let upload = client
            .send_upload(&upload, &mut file, &mut |bytes| shown.update(bytes))
            .map_err(failed)?;
        shown.done();
        Ok(upload)
    }

    /// Downloads the output of the job, which has completed, if it was given a place here.
    pub fn fetch(&self, client: &Client, job: &Job) -> Result {
        match &self.output {
            Some(output) => download(client, job.id, output, self.replace).map(drop),
            None => {
                self.hint(job.id);
                Ok(())
            }
        }
    }

    /// Says how to get the output.
    pub fn hint(&self, job: ffrtmp_api::ids::JobSeq) {
        let to = match &self.output {
            Some(output) => format!(" --to {}", output.display()),
            None => String::new(),
        };
        eprintln!("  when it has completed: ffrtmp jobs fetch {job}{to}");
    }
}

fn check_input(path: &Path) -> Result {
    let wrong = |why: String| {
        Err(Failure::usage(format!(
            "--input: {}: {why} (with --upload it is a file on this machine)",
            path.display()
        )))
    };
    match path.metadata() {
        Ok(metadata) if metadata.is_file() && metadata.len() > 0 => Ok(()),
        Ok(metadata) if metadata.is_file() => wrong("is empty".to_owned()),
        Ok(metadata) if metadata.is_dir() => wrong("is a directory; name a file".to_owned()),
        Ok(_) => wrong("is not a regular file; copy it to one".to_owned()),
        Err(error) => wrong(error.to_string()),
    }
}

fn file_name(path: &Path) -> Result<String> {
    match path.file_name().and_then(|name| name.to_str()) {
        Some(name) => Ok(name.to_owned()),
        None => Err(Failure::usage(format!("{}: names no file", path.display()))),
    }
}

fn stem(name: &str) -> &str {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    if stem.is_empty() { "output" } else { stem }
}

/// The container for an output that was given no name: one that every player takes.
fn extension(spec: &JobSpec) -> &'static str {
    let names_vp9 = |text: &Option<String>| {
        text.as_ref()
            .is_some_and(|text| text.to_ascii_lowercase().ends_with("vp9"))
    };
    if names_vp9(&spec.codec) || (spec.codec.is_none() && names_vp9(&spec.scenario)) {
        "webm"
    } else {
        "mp4"
    }
}

#[cfg(test)]
mod tests {
    use ffrtmp_api::settings::Settings;

    use super::*;

    /// A plan in a folder that holds `my.film.mov`, `there.mp4` and `empty.mp4`.
    fn plan(
        input: &str,
        output: Option<&str>,
        codec: Option<&str>,
        fetch: bool,
    ) -> Result<JobSpec> {
        let dir = tempfile::tempdir().unwrap();
        let here = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(here("my.film.mov"), "x").unwrap();
        std::fs::write(here("there.mp4"), "x").unwrap();
        std::fs::write(here("empty.mp4"), "").unwrap();
        let mut spec = JobSpec {
            input: Some(here(input)),
            output: output.map(here),
            codec: codec.map(Into::into),
            ..JobSpec::default()
        };
        Files::of(&mut spec, fetch)?;
        Ok(spec)
    }

    #[test]
    fn the_job_names_files_in_the_spool_and_resolves() {
        for (output, codec, name) in [
            (None, None, "spool:my.film.mp4"),
            (None, Some("vp9"), "spool:my.film.webm"),
            (Some("out.mkv"), None, "spool:out.mkv"),
        ] {
            let spec = plan("my.film.mov", output, codec, true).unwrap();
            assert_eq!(spec.output.as_deref(), Some(name));
            Settings::resolve(&spec).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_sent_or_written_is_refused_before_anything_is_sent() {
        let says = |input, output, fetch| match plan(input, output, None, fetch) {
            Err(Failure::Usage(message) | Failure::Failed(message)) => message,
            other => panic!("{other:?}"),
        };
        assert!(says("nothing.mp4", None, false).contains("No such file"));
        assert!(says("empty.mp4", None, false).contains("is empty"));
        assert!(says("", None, false).contains("is a directory"));
        assert!(says("my.film.mov", Some("there.mp4"), true).contains("exists already"));
        assert!(plan("my.film.mov", Some("there.mp4"), None, false).is_ok());
    }
}
