//! `ffrtmp jobs submit`: from flags and files to jobs, and, if asked, to their end.
//!
//! What cannot be honoured is refused before anything is sent, by the same code the master uses, naming the flag. Every
//! submit carries an idempotency key, so that it may be repeated while a master restarts without making two jobs.

mod fields;
mod flags;
mod many;
mod presets;
mod source;

use std::{
    env,
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use ffrtmp_api::{
    ids::JobRef,
    job::JobSpec,
    preset::Asked,
    settings::{BadField, Settings},
};
use serde_json::Value;
use uuid::Uuid;

pub use flags::SubmitArgs;

use crate::{
    args::GlobalArgs,
    commands::{
        face_of,
        jobs::{upload::Files, wait},
    },
    connection::{connect, warn_of_clock},
    exit::{Failure, Result},
    output::{Format, Origins, Output, Plan, settings_line, source_line},
    progress::{How, follow, verdict},
};
use fields::Fields;
use flags::Request;
use many::Many;
use presets::Presets;
use source::{Item, Stopped};

/// Submits.
pub fn run(args: SubmitArgs, global: &GlobalArgs) -> Result {
    let cwd = env::current_dir()
        .map_err(|error| Failure::failed(format!("cannot tell the current directory: {error}")))?;
    let request = args.into_request(&cwd)?;
    let format = request.format.or(global.format).unwrap_or_default();
    let mut face = face_of(format, global);
    match (&request.file, request.count) {
        (Some(file), _) if request.dry_run => plan_file(&request, file, &cwd, &mut *face, global),
        (None, Some(count)) if request.dry_run => {
            let mut presets = Presets::of_farm_if_it_answers(global);
            for n in [1, count] {
                face.plan(&plan(&request, numbered(&request, n), &mut presets)?.1)?;
                if count == 1 {
                    break;
                }
            }
            Ok(())
        }
        (None, None) if request.dry_run => {
            let mut presets = Presets::of_farm_if_it_answers(global);
            Ok(face.plan(&plan_one(&request, &mut presets)?.1)?)
        }
        (None, None) => one(&request, format, &mut *face, global),
        (file, count) => {
            let client = connect(global)?;
            let waits = request.wait || request.follow;
            // With --wait, a JSON answer is of the jobs at their end.
            let shown = !waits || format == Format::Table;
            let key = match request.fields.get("idempotency_key") {
                Some(Value::String(key)) => key.clone(),
                _ => Uuid::new_v4().to_string(),
            };
            let farm = Presets::of_farm(global);
            let mut many = Many::new(&client, farm, shown.then_some(&mut *face), key);
            let outcome = match (file, count) {
                (Some(file), _) => from_file(&request, file, &cwd, &mut many),
                (None, count) => by_count(&request, count.unwrap_or(1), &mut many, global),
            };
            // What was read before something broke is submitted all the same.
            let flushed = many.flush();
            if request.fields.contains_key("deadline_ms") {
                warn_of_clock(&client, "--deadline");
            }
            let (tally, made) = (many.tally, many.made);
            let summary = match count {
                Some(_) => {
                    let mut presets = Presets::of_farm(global);
                    let (_, plan) = plan(&request, numbered(&request, 1), &mut presets)?;
                    Some(summary_of(&plan))
                }
                None => None,
            };
            if shown {
                face.items_end(&tally, summary.as_deref())?;
            }
            outcome.and(flushed)?;
            if waits && !made.is_empty() {
                let how = if request.follow {
                    How::Visibly(format)
                } else {
                    How::Silently
                };
                wait::all(client, made, how, format, global)?;
            }
            if tally.refused > 0 {
                return Err(Failure::Silent);
            }
            Ok(())
        }
    }
}

/// One job, said by flags alone.
fn one(request: &Request, format: Format, face: &mut dyn Output, global: &GlobalArgs) -> Result {
    let mut presets = Presets::of_farm(global);
    // Files of this machine are named as they are here, not as the spool will know them.
    let (_, whole) = plan(request, request.fields.clone(), &mut presets)?;
    let summary = summary_of(&whole);
    let (mut asked, _, files) = plan_one(request, &mut presets)?;
    let client = connect(global)?;
    if let Some(files) = &files {
        files.send(&client, &mut asked.spec)?;
    }
    let key = &mut asked.spec.idempotency_key;
    key.get_or_insert_with(|| Uuid::new_v4().to_string());
    let submitted = client.submit_asked(&asked)?;
    if asked.spec.deadline_ms.is_some() {
        warn_of_clock(&client, "--deadline");
    }
    let waits = request.wait || request.follow;
    // With --wait, a JSON answer is one document: the job at its end.
    if !waits || format == Format::Table {
        face.submitted(&submitted, &summary)?;
    }
    if !waits {
        files
            .iter()
            .filter(|_| !global.quiet)
            .for_each(|files| files.hint(submitted.id));
        return Ok(());
    }
    let how = if request.follow && !global.quiet {
        How::Visibly(format)
    } else {
        How::Silently
    };
    let job = follow(client, JobRef::Uuid(submitted.uuid), how)?;
    if !(request.follow && format == Format::Jsonl) {
        face.ended(&job)?;
    }
    verdict(&job)?;
    files.map_or(Ok(()), |files| files.fetch(&connect(global)?, &job))
}

/// The one job that the flags describe, checked, and its files if they are on this machine.
fn plan_one(request: &Request, presets: &mut Presets<'_>) -> Result<(Asked, Plan, Option<Files>)> {
    let (mut asked, plan) = plan(request, request.fields.clone(), presets)?;
    if !request.upload {
        return Ok((asked, plan, None));
    }
    let mut job = plan.job;
    let files = Files::of(&mut job, request.wait || request.follow)?;
    let places = job.clone();
    (asked.spec.input, asked.spec.output) = (places.input, places.output);
    asked.spec.overwrite = places.overwrite;
    let settings = resolve(request, &job)?;
    Ok((asked, Plan::new(job, plan.origins, settings), Some(files)))
}

/// The jobs of `--count`.
fn by_count(request: &Request, count: u64, many: &mut Many<'_>, global: &GlobalArgs) -> Result {
    let mut presets = Presets::of_farm(global);
    // All differ only in their numbers, and the last has the longest.
    plan(request, numbered(request, 1), &mut presets)?;
    plan(request, numbered(request, count), &mut presets)?;
    for n in 1..=count {
        let mut fields = numbered(request, n);
        fields.remove("idempotency_key");
        let job = fields::job(fields).map_err(Failure::usage)?;
        many.push(None, n, job)?;
    }
    Ok(())
}

/// The jobs of `--file`.
fn from_file(request: &Request, file: &Path, cwd: &Path, many: &mut Many<'_>) -> Result {
    each_of_file(request, file, cwd, |line, found| {
        let place = Some(format!("line {line}"));
        match found {
            Ok(job) => many.push(place, line, job),
            Err(what) => many.refuse(place, "", what),
        }
    })
}

/// `--dry-run` of a file: every job it holds, and what is wrong with the others.
fn plan_file(
    request: &Request,
    file: &Path,
    cwd: &Path,
    face: &mut dyn Output,
    global: &GlobalArgs,
) -> Result {
    let mut wrong = false;
    let mut presets = Presets::of_farm_if_it_answers(global);
    each_of_file(request, file, cwd, |line, found| {
        let plan = match found.map(|asked| (presets.fill(&asked), asked)) {
            Ok((Ok(job), asked)) => {
                let origins = Origins::of(&asked, &job, request.given);
                let settings = Settings::resolve(&job).map_err(|bad| bad.to_string());
                settings.map(|settings| Plan::new(job, origins, settings))
            }
            Ok((Err(unfilled), _)) => Err(unfilled.into_message()?),
            Err(what) => Err(what),
        };
        match plan {
            Ok(plan) => face.plan(&plan)?,
            Err(what) => {
                wrong = true;
                eprintln!("ffrtmp: line {line}: {}", crate::output::clean(&what));
            }
        }
        Ok(())
    })?;
    if wrong { Err(Failure::Silent) } else { Ok(()) }
}

/// Reads a file's jobs, lays the flags over each, and gives each with its line.
fn each_of_file(
    request: &Request,
    file: &Path,
    cwd: &Path,
    mut each: impl FnMut(u64, std::result::Result<Asked, String>) -> Result,
) -> Result {
    let mut flags = request.fields.clone();
    // Each job has its own, made of this one.
    let derived = flags.remove("idempotency_key").is_some();
    let input: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let opened = File::open(file).and_then(|opened| match opened.metadata()?.is_dir() {
            true => Err(io::Error::from(io::ErrorKind::IsADirectory)),
            false => Ok(opened),
        });
        match opened {
            Ok(opened) => Box::new(BufReader::new(opened)),
            Err(error) => {
                return Err(Failure::failed(format!(
                    "--file: {} cannot be read: {error}",
                    file.display()
                )));
            }
        }
    };
    let mut any = false;
    source::read(input, |Item { line, fields }| {
        any = true;
        let job = fields.and_then(|mut fields| {
            fields::absolute_paths(&mut fields, cwd)?;
            fields::lay_over(&mut fields, &flags);
            if derived {
                fields.remove("idempotency_key");
            }
            fields::job(fields)
        });
        each(line, job)
    })
    .map_err(|stopped| match stopped {
        Stopped::Caller(failure) => failure,
        Stopped::Io(error) => Failure::failed(format!(
            "--file: {} cannot be read on: {error}",
            file.display()
        )),
        Stopped::Bad { line, what } => Failure::failed(format!(
            "--file: {}: line {line}: {what}; nothing from there on was read",
            file.display()
        )),
    })?;
    if any {
        Ok(())
    } else {
        Err(Failure::failed(format!(
            "--file: {} holds no job",
            file.display()
        )))
    }
}

/// The request's fields as its `n`th job has them.
fn numbered(request: &Request, n: u64) -> Fields {
    request
        .fields
        .iter()
        .map(|(name, value)| (name.clone(), fields::numbered(value, n)))
        .collect()
}

/// The job that the flags describe, as it is asked for, and as it will be: laid over its preset, and checked.
fn plan(request: &Request, fields: Fields, presets: &mut Presets<'_>) -> Result<(Asked, Plan)> {
    let asked = fields::job(fields).map_err(|what| Failure::usage(format!("--param {what}")))?;
    let job = presets.fill(&asked).map_err(|unfilled| {
        unfilled.into_failure(|bad| request.name_flag(bad.field, &bad.message))
    })?;
    let settings = resolve(request, &job)?;
    let origins = Origins::of(&asked, &job, request.given);
    Ok((asked, Plan::new(job, origins, settings)))
}

/// What a job is encoded with; what cannot be honoured is named by its flag.
fn resolve(request: &Request, job: &JobSpec) -> Result<Settings> {
    Settings::resolve(job)
        .map_err(|BadField { field, message }| Failure::usage(request.name_flag(field, &message)))
}

/// One line about what will be done.
fn summary_of(plan: &Plan) -> String {
    let Plan { job, settings, .. } = plan;
    let name = match (&job.scenario, &job.preset) {
        (Some(name), _) | (None, Some(name)) => format!("{name}: "),
        (None, None) => String::new(),
    };
    let to = settings
        .output
        .as_ref()
        .map(|path| format!(" to {path}"))
        .unwrap_or_default();
    format!(
        "{name}{}{to}; {}; {} queue, {} priority",
        source_line(settings),
        settings_line(settings),
        job.queue,
        job.priority
    )
}
