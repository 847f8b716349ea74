//! A live encode: ffmpeg runs again and again while its source comes and goes, until that is over; then what was recorded is
//! joined.
//!
//! Separate from other encodes because here the end of a run is not the end of the encode, and because what was taken down must
//! outlive every kind of end but a cancel. A push has no parts: what was sent is gone.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use ffrtmp_api::{
    job::FailureReason,
    settings::{AudioCodec, Live, Output, Pictures, Settings, Size},
};
use tokio::{sync::watch, time::sleep};

use super::{
    control::{Control, Observer, finishing, stopped},
    encode::{Runs, Spent, look},
    prepare::as_user,
    watch::{Before, Bounds, EndedBy, Watched},
};
use crate::{
    ffmpeg::{
        command::{Order, PARTS, Pass, arguments, list_of_parts, part_name},
        diagnosis::{Failure, explain},
        probe::{self, Media},
        progress::Report,
        reach::Reach,
    },
    node::reap::remove_quietly,
    session::backoff::Backoff,
};

/// Longest silence of a source that is connected, before it counts as gone: longer than ffmpeg needs to find out what comes, and
/// than an encoder keeps frames to look ahead.
const SILENCE: Duration = Duration::from_secs(20);
/// What may be missing of the length that was asked for, in seconds: a run for less gives nothing.
const LEFT_MIN: f64 = 0.1;

/// Why no more is taken.
enum Over {
    /// As much was taken as was asked for, or it was told to finish.
    Asked,
    /// The source is gone and did not come back. Holds what the last run that gave anything failed with.
    Gone(Option<Failure>),
}

/// What was taken so far.
struct Taken {
    /// The parts that can be read, in order.
    parts: Vec<u32>,
    /// What the first of them holds; none before, and of a push.
    first: Option<Media>,
    /// All of it.
    so_far: Before,
    /// Whether every part was ended by ffmpeg itself.
    whole: bool,
    /// Whether the source came back as something that cannot be joined to what there is.
    changed: bool,
}

impl Taken {
    fn is_empty(&self) -> bool {
        self.so_far.frames == 0 && self.so_far.media_seconds == 0.0
    }

    fn add(&mut self, last: &Report) {
        self.so_far = Before {
            restarts: self.restarts_next(),
            frames: self.so_far.frames + last.frames,
            media_seconds: self.so_far.media_seconds + last.media_seconds,
            bytes: self.so_far.bytes + last.bytes,
        };
    }

    /// How often the source was taken up again, if the next run gives something.
    fn restarts_next(&self) -> u32 {
        self.so_far.restarts + u32::from(!self.is_empty())
    }
}

impl Runs<'_> {
    /// Takes the source until it is over, and makes the output of it.
    pub(super) async fn live(
        &self,
        live: Live,
        control: &mut watch::Receiver<Control>,
        observer: &dyn Observer,
        log: &mut String,
    ) -> Result<Spent, EndedBy> {
        let mut spent = Spent::default();
        let mut taken = Taken {
            parts: Vec::new(),
            first: None,
            so_far: Before::default(),
            whole: true,
            changed: false,
        };
        let over = self
            .take(live, &mut taken, &mut spent, control, observer, log)
            .await?;
        spent.restarts = taken.so_far.restarts;
        spent.last = Report {
            frames: taken.so_far.frames,
            media_seconds: taken.so_far.media_seconds,
            bytes: taken.so_far.bytes,
            // Of a part that was cut off, the last frames may be missing.
            ended: taken.whole,
            ..Report::default()
        };
        if taken.is_empty() {
            return Err(EndedBy::Failure(nothing(&over, live)));
        }
        if self.pushes() {
            return match over {
                Over::Gone(Some(failure)) => Err(EndedBy::Failure(failure)),
                Over::Gone(None) | Over::Asked => Ok(spent),
            };
        }
        self.join(&taken, &mut spent, control, observer, log)
            .await?;
        Ok(spent)
    }

    fn pushes(&self) -> bool {
        matches!(self.order.settings.output, Some(Output::Push(_)))
    }

    /// Runs ffmpeg as often as the source comes.
    async fn take(
        &self,
        live: Live,
        taken: &mut Taken,
        spent: &mut Spent,
        control: &mut watch::Receiver<Control>,
        observer: &dyn Observer,
        log: &mut String,
    ) -> Result<Over, EndedBy> {
        let wait = Duration::from_secs_f64(live.input_wait_seconds);
        let begun = Instant::now();
        let mut gone_since = begun;
        let mut backoff = Backoff::default();
        let mut trouble = None;
        for run in 1u32.. {
            if control.borrow().finish {
                break;
            }
            let Some(settings) = self.settings_of_next(taken) else {
                return Ok(Over::Asked);
            };
            let pass = match self.pushes() {
                true => Pass::Encode,
                false => Pass::Record,
            };
            let line = arguments(
                pass,
                Order {
                    settings: &settings,
                    input: None,
                    gpu: self.gpu(),
                    loudness: None,
                    target: self.temp,
                    part: run,
                },
            );
            let whole = self.bounds();
            let bounds = Bounds {
                stall: whole.stall.min(SILENCE),
                timeout: whole
                    .timeout
                    .map(|limit| limit.saturating_sub(begun.elapsed())),
                before: Before {
                    restarts: taken.restarts_next(),
                    ..taken.so_far
                },
                finishes: true,
                ..whole
            };
            let watched = self
                .any(line, bounds, run == 1, control, observer, log)
                .await?;
            spent.add(&watched);
            let failure = failure_of(&watched);
            let gave = self.add(taken, run, &watched).await;
            match watched.ended_by {
                Some(EndedBy::Finish) => break,
                Some(by @ (EndedBy::Stop(_) | EndedBy::Failure(_))) => return Err(by),
                Some(EndedBy::Hung(_)) | None => {}
            }
            if gave {
                gone_since = Instant::now();
                backoff.reset();
                trouble = failure;
            } else if taken.is_empty() {
                if let Some(hopeless) = failure.clone().filter(|f| !is_for_the_source(f)) {
                    return Err(EndedBy::Failure(hopeless));
                }
                trouble = failure;
            }
            if taken.changed || self.settings_of_next(taken).is_none() {
                break;
            }
            let left = wait.saturating_sub(gone_since.elapsed());
            if left.is_zero() {
                return Ok(Over::Gone(trouble));
            }
            let pause = backoff.pause().min(left);
            let line = format!(
                "[ffrtmp: the source is gone; tried again in {:.1} s, for {:.0} s more]\n",
                pause.as_secs_f64(),
                left.as_secs_f64()
            );
            log.push_str(&line);
            observer.log(&line);
            let finish = finishing(control.clone());
            tokio::select! {
                stop = stopped(control) => return Err(EndedBy::Stop(stop)),
                () = finish => break,
                () = sleep(pause) => {}
            }
        }
        Ok(Over::Asked)
    }

    /// What the next run is to do: what is left of the length, and what the first part fixed. `None` if all was taken.
    fn settings_of_next(&self, taken: &Taken) -> Option<Settings> {
        let mut settings = self.order.settings.clone();
        if let Some(asked) = settings.duration_seconds {
            let left = asked - taken.so_far.media_seconds;
            if left < LEFT_MIN {
                return None;
            }
            settings.duration_seconds = Some(left);
        }
        if let Some(first) = &taken.first {
            keep_to(&mut settings, first);
        }
        Some(settings)
    }

    /// Adds what a run gave. Answers whether it gave anything.
    async fn add(&self, taken: &mut Taken, run: u32, watched: &Watched) -> bool {
        let last = &watched.last;
        if last.frames == 0 && last.media_seconds == 0.0 {
            remove_quietly(&self.part(run));
            return false;
        }
        if !self.pushes() {
            let media = match look(self.bench, Reach::File(&self.part(run))).await {
                Ok(media) => media,
                // Cut off before a whole frame was written.
                Err(failure) => {
                    tracing::warn!(part = run, failure = failure.message, "left out");
                    remove_quietly(&self.part(run));
                    return false;
                }
            };
            if let Some(first) = &taken.first
                && !can_be_joined(first, &media)
            {
                tracing::warn!(
                    part = run,
                    ?first,
                    ?media,
                    "the source came back as another"
                );
                taken.changed = true;
                return false;
            }
            taken.first.get_or_insert(media);
            taken.parts.push(run);
            taken.whole &= watched.ended_by.is_none();
        }
        taken.add(last);
        true
    }

    fn part(&self, run: u32) -> PathBuf {
        self.directory.join(part_name(run))
    }

    /// Makes the output of the parts.
    async fn join(
        &self,
        taken: &Taken,
        spent: &mut Spent,
        control: &mut watch::Receiver<Control>,
        observer: &dyn Observer,
        log: &mut String,
    ) -> Result<(), EndedBy> {
        let list = self.directory.join(PARTS);
        let text = list_of_parts(&taken.parts);
        as_user(self.bench, move || {
            std::fs::write(&list, text).map_err(|error| {
                Failure::new(
                    FailureReason::ResourceError,
                    format!("{} cannot be written: {error}", list.display()),
                )
            })
        })
        .await
        .map_err(EndedBy::Failure)?;
        // What was taken cannot be taken again: where there is no room after all, it is tried all the same.
        let room = tokio::select! {
            stop = stopped(control) => return Err(EndedBy::Stop(stop)),
            room = self.room.again() => room,
        };
        if let Err(short) = room {
            tracing::warn!(attempt = %self.order.attempt, short = short.message, "the parts are joined all the same");
        }
        let settings = &self.order.settings;
        let line = arguments(
            Pass::Join,
            Order {
                settings,
                input: taken.first.as_ref(),
                gpu: None,
                loudness: None,
                target: self.temp,
                part: 0,
            },
        );
        let bounds = Bounds {
            timeout: None,
            expected_seconds: Some(taken.so_far.media_seconds),
            ..self.bounds()
        };
        let watched = self
            .one(line, bounds, false, control, observer, log)
            .await?;
        spent.add(&watched);
        Ok(())
    }
}

/// What a run failed with, if it ended by itself and not well.
fn failure_of(watched: &Watched) -> Option<Failure> {
    let ended_badly = watched.ended_by.is_none() && !watched.exit.status.success();
    ended_badly.then(|| explain(watched.exit.status, watched.log.newest_first()))
}

/// Whether waiting for the source can help.
fn is_for_the_source(failure: &Failure) -> bool {
    !matches!(
        failure.reason,
        FailureReason::UserError | FailureReason::CapabilityMismatch | FailureReason::ResourceError
    )
}

/// What an encode that was given nothing ends with.
fn nothing(over: &Over, live: Live) -> Failure {
    match over {
        Over::Asked => Failure::new(
            FailureReason::UserError,
            "stopped before its source gave anything; there is nothing to keep",
        ),
        Over::Gone(trouble) => {
            let said = trouble
                .as_ref()
                .map_or("it is silent", |failure| &failure.message);
            let message = format!(
                "the source gave nothing in {} s; wait longer with input_wait_seconds: {said}",
                live.input_wait_seconds
            );
            Failure::new(FailureReason::NetworkError, message)
        }
    }
}

/// Makes later parts like the first, so that they can be joined by copying.
fn keep_to(settings: &mut Settings, first: &Media) {
    let exact = |made: &probe::Video| Size::Exact {
        width: made.width,
        height: made.height,
    };
    if let Pictures::Video(video) = &mut settings.pictures {
        if video.ladder.is_empty() {
            video.size = first.video.as_ref().map(exact).or(video.size);
        }
        let made = first.video.iter().chain(&first.more_video);
        for (rendition, made) in video.ladder.iter_mut().zip(made) {
            rendition.size = exact(made);
        }
    }
    if let (Some(audio), Some(made)) = (&mut settings.audio, &first.audio)
        && audio.codec != AudioCodec::Copy
    {
        audio.channels = Some(made.channels);
    }
}

/// Whether `next` can stand behind `first` in one stream: only what is copied may differ.
fn can_be_joined(first: &Media, next: &Media) -> bool {
    let pictures = |media: &Media| {
        let video = media.video.as_ref()?;
        Some((video.codec.clone(), video.width, video.height))
    };
    let sounds_alike = match (&first.audio, &next.audio) {
        (Some(a), Some(b)) => (&a.codec, a.channels) == (&b.codec, b.channels),
        // Sound that is missing for a while is silence.
        _ => true,
    };
    pictures(first) == pictures(next) && sounds_alike
}

#[cfg(test)]
mod tests {
    use ffrtmp_api::job::JobSpec;

    use super::*;
    use crate::ffmpeg::probe::Sound;

    fn media(width: u32, channels: Option<u32>) -> Media {
        Media {
            video: Some(probe::Video {
                codec: "h264".into(),
                width,
                height: 180,
                ..probe::Video::default()
            }),
            audio: channels.map(|channels| Sound {
                codec: "aac".into(),
                channels,
                ..Sound::default()
            }),
            ..Media::default()
        }
    }

    #[test]
    fn later_parts_are_made_like_the_first() {
        let mut settings = Settings::resolve(&JobSpec {
            input: Some("rtmp://h/live/k".into()),
            output: Some("/a.mp4".into()),
            size: Some("fit:640x640".into()),
            ..JobSpec::default()
        })
        .unwrap();
        keep_to(&mut settings, &media(320, Some(1)));
        let size = Size::Exact {
            width: 320,
            height: 180,
        };
        assert_eq!(settings.video().unwrap().size, Some(size));
        assert_eq!(settings.audio.unwrap().channels, Some(1));
    }

    #[test]
    fn what_came_back_as_another_is_not_joined() {
        let first = media(320, Some(2));
        assert!(can_be_joined(&first, &media(320, Some(2))));
        assert!(can_be_joined(&first, &media(320, None)));
        assert!(!can_be_joined(&first, &media(640, Some(2))));
        assert!(!can_be_joined(&first, &media(320, Some(1))));
    }
}
