//! A live encode: ffmpeg runs again and again while its source comes and goes, until that is over; then what was recorded is
//! joined.
//!
//! Separate from other encodes because here the end of a run is not the end of the encode, and because what was taken down is kept when
//! the source ends, however it does. A push has no parts: what was sent is gone. Nor has what can be watched: each run goes
//! on with the folder of the one before.

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
    control::{Control, Observer, Stop, stopped},
    prepare::{as_user, cannot_write},
    runs::{Course, Runs},
    shown,
    verdict::look,
    watch::{Before, Bounds, EndedBy, Watched},
};
use crate::{
    ffmpeg::{
        command::{Order, PARTS, Pass, arguments, first_segments, list_of_parts, part_name},
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

/// How often it is looked whether there is something to watch.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What ffmpeg says (`libavformat/hlsenc.c`) of a source without sound, where renditions share their sound.
const NO_SOUND: &str = "Unable to map stream at a:0";

/// What becomes of what is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is sent on as it comes.
    Pushed,
    /// It is taken down in parts, which are joined at the end.
    Recorded,
    /// It goes into a folder of segments that is seen while it grows.
    Watched,
}

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
    /// Whether the source has no sound, where a list of renditions cannot be made with sound that is not there.
    silent: bool,
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
    /// Takes the source until it is over, and makes the output of it; adds all that to what was spent before.
    pub(super) async fn live(&self, live: Live, course: &mut Course<'_>) -> Result<(), EndedBy> {
        let mut taken = Taken {
            parts: Vec::new(),
            first: None,
            so_far: Before::default(),
            whole: true,
            changed: false,
            silent: false,
        };
        let over = self.take(live, &mut taken, course).await?;
        course.spent.restarts = taken.so_far.restarts;
        course.spent.last = Report {
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
        if let Over::Gone(Some(failure)) = &over
            && !is_of_a_source(failure)
        {
            // Kept all the same: half a recording is more than none. But it is no source that ended.
            let line = format!(
                "[ffrtmp: it ends here because of this: {}]\n",
                failure.message
            );
            course.log.push_str(&line);
            course.observer.log(&line);
            tracing::warn!(failure = failure.message, "cut short");
        }
        match self.way() {
            Way::Pushed => {
                return match over {
                    Over::Gone(Some(failure)) => Err(EndedBy::Failure(failure)),
                    Over::Gone(None) | Over::Asked => Ok(()),
                };
            }
            Way::Watched => {
                let folder = self.temp.to_owned();
                as_user(self.bench, move || {
                    shown::seal(&folder).map_err(|error| cannot_write(&folder, &error))
                })
                .await
                .map_err(EndedBy::Failure)?;
                return Ok(());
            }
            Way::Recorded => {}
        }
        self.join(&taken, course).await
    }

    fn way(&self) -> Way {
        let settings = &self.order.settings;
        match settings.output {
            Some(Output::Push(_)) => Way::Pushed,
            _ if settings.live.is_some_and(|live| live.watchable) => Way::Watched,
            _ => Way::Recorded,
        }
    }

    /// Runs ffmpeg as often as the source comes.
    async fn take(
        &self,
        live: Live,
        taken: &mut Taken,
        course: &mut Course<'_>,
    ) -> Result<Over, EndedBy> {
        let wait = Duration::from_secs_f64(live.input_wait_seconds);
        // Both moved on by every pause of the job: what stands still has all its time left.
        let mut begun = Instant::now();
        let mut gone_since = begun;
        let mut backoff = Backoff::default();
        let mut trouble = None;
        let mut unseen = self.way() == Way::Watched;
        for run in 1u32.. {
            if course.control.borrow().finish {
                break;
            }
            let Some(settings) = self.settings_of_next(taken) else {
                return Ok(Over::Asked);
            };
            let pass = match self.way() {
                Way::Pushed | Way::Watched => Pass::Encode,
                Way::Recorded => Pass::Record,
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
                    trust: &self.bench.trust,
                },
            );
            let whole = self.bounds();
            let bounds = Bounds {
                stall: whole.stall.min(SILENCE),
                ran: begun.elapsed(),
                before: Before {
                    restarts: taken.restarts_next(),
                    ..taken.so_far
                },
                finishes: true,
                ..whole
            };
            let watched = {
                let observer = course.observer;
                let running = self.any(line, bounds, run == 1, course);
                tokio::pin!(running);
                // Beside the run, which it does not end: what is made is worth having, seen or not.
                let showing = self.show(observer);
                tokio::pin!(showing);
                loop {
                    tokio::select! {
                        watched = &mut running => break watched?,
                        () = &mut showing, if unseen => unseen = false,
                    }
                }
            };
            (begun, gone_since) = (begun + watched.stood, gone_since + watched.stood);
            let failure = failure_of(&watched);
            let gave = self.add(taken, run, &watched).await;
            match watched.ended_by {
                Some(EndedBy::Finish) => break,
                Some(by @ (EndedBy::Stop(_) | EndedBy::Failure(_))) => return Err(by),
                Some(EndedBy::Hung(_)) | None => {}
            }
            if self.way() == Way::Watched
                && watched.log.text().contains(NO_SOUND)
                && !std::mem::replace(&mut taken.silent, true)
            {
                continue;
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
            course.log.push_str(&line);
            course.observer.log(&line);
            let rested = rest(pause, course.control, course.observer).await;
            match rested {
                Rested::Stop(stop) => return Err(EndedBy::Stop(stop)),
                Rested::Finish => break,
                Rested::Well { stood } => {
                    (begun, gone_since) = (begun + stood, gone_since + stood);
                }
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
        if taken.silent {
            settings.audio = None;
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
            if self.way() == Way::Recorded {
                remove_quietly(&self.part(run));
            }
            return false;
        }
        if self.way() == Way::Watched && taken.first.is_none() {
            taken.first = self.first_segments().await;
        }
        if self.way() == Way::Recorded {
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
        }
        taken.whole &= watched.ended_by.is_none();
        taken.add(last);
        true
    }

    /// Waits until there is something to see, and lets it be seen.
    async fn show(&self, observer: &dyn Observer) {
        let Some(Output::Folder { path, index }) = &self.order.settings.output else {
            return;
        };
        let overwrite = self.order.settings.overwrite;
        loop {
            sleep(LOOK_EVERY).await;
            let (temp, place, name) = (self.temp.to_owned(), PathBuf::from(path), index.clone());
            let seen = as_user(self.bench, move || match temp.join(&name).is_file() {
                true => shown::show(&temp, &place, &name, overwrite)
                    .map(|()| true)
                    .map_err(|error| cannot_write(&place, &error)),
                false => Ok(false),
            });
            let line = match seen.await {
                Ok(false) => continue,
                Ok(true) => format!("[ffrtmp: {path}/{index} can be watched]\n"),
                Err(failure) => {
                    tracing::warn!(failure = failure.message, "cannot be shown while it runs");
                    format!(
                        "[ffrtmp: it cannot be watched while it runs: {}]\n",
                        failure.message
                    )
                }
            };
            return observer.log(&line);
        }
    }

    /// What the first segments hold, as one: of the lists themselves nobody could tell where they end.
    async fn first_segments(&self) -> Option<Media> {
        let first = |media: Media, name: String| async move {
            let path = self.temp.join(name);
            let mut media = media;
            match look(self.bench, Reach::File(&path)).await {
                Ok(held) => {
                    media.more_video.extend(held.video);
                    media.audio = media.audio.or(held.audio);
                }
                Err(failure) => {
                    tracing::warn!(failure = failure.message, "a first segment cannot be read");
                }
            }
            media
        };
        let mut media = Media::default();
        for name in first_segments(&self.order.settings) {
            media = first(media, name).await;
        }
        if media.more_video.is_empty() {
            return Some(media).filter(|media| media.audio.is_some());
        }
        media.video = Some(media.more_video.remove(0));
        Some(media)
    }

    fn part(&self, run: u32) -> PathBuf {
        self.directory.join(part_name(run))
    }

    /// Makes the output of the parts.
    async fn join(&self, taken: &Taken, course: &mut Course<'_>) -> Result<(), EndedBy> {
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
            stop = stopped(course.control) => return Err(EndedBy::Stop(stop)),
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
                trust: &self.bench.trust,
            },
        );
        let bounds = Bounds {
            timeout: None,
            expected_seconds: Some(taken.so_far.media_seconds),
            ..self.bounds()
        };
        self.one(line, bounds, false, course).await?;
        Ok(())
    }
}

/// How a wait for the source ended.
enum Rested {
    /// The attempt is to stop.
    Stop(Stop),
    /// It is to finish with what there is.
    Finish,
    /// It is time to look for the source again, after the job stood still for so long.
    Well { stood: Duration },
}

/// Waits before the source is looked for again. Where there is no process that could stand still, the job does so here.
async fn rest(
    pause: Duration,
    control: &mut watch::Receiver<Control>,
    observer: &dyn Observer,
) -> Rested {
    let mut stood = Duration::ZERO;
    loop {
        let told = *control.borrow_and_update();
        if let Some(stop) = told.stop {
            return Rested::Stop(stop);
        }
        if told.finish {
            return Rested::Finish;
        }
        let changed = if told.paused {
            observer.paused(true);
            let since = Instant::now();
            let changed = control.wait_for(|control| *control != told).await.is_ok();
            observer.paused(false);
            stood += since.elapsed();
            changed
        } else {
            tokio::select! {
                changed = control.changed() => changed.is_ok(),
                () = sleep(pause) => return Rested::Well { stood },
            }
        };
        if !changed {
            // The table is gone: so is everything that could take a result.
            return Rested::Stop(Stop::Revoke);
        }
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

/// Whether that is how a source ends.
fn is_of_a_source(failure: &Failure) -> bool {
    matches!(
        failure.reason,
        FailureReason::NetworkError | FailureReason::InputError | FailureReason::RuntimeError
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
