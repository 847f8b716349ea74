//! What the command lines are, in text.

use ffrtmp_api::job::JobSpec;

use super::*;
use crate::ffmpeg::probe::{Caption, Sound, Video};

fn line(edit: impl FnOnce(&mut JobSpec), input: Option<&Media>) -> String {
    let mut spec = JobSpec::default();
    edit(&mut spec);
    let settings = Settings::resolve(&spec).unwrap();
    lines_of(&settings, input).pop().unwrap()
}

fn lines_of(settings: &Settings, input: Option<&Media>) -> Vec<String> {
    let order = Order {
        settings,
        input,
        gpu: None,
        loudness: None,
        target: Path::new("/out/.x.part"),
        part: 1,
        trust: &Trust::default(),
    };
    let text = |pass: &Pass| {
        arguments(*pass, order)
            .iter()
            .map(|a| a.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    passes(settings).iter().map(text).collect()
}

fn lines(edit: impl FnOnce(&mut JobSpec), input: Option<&Media>) -> Vec<String> {
    let mut spec = JobSpec::default();
    edit(&mut spec);
    lines_of(&Settings::resolve(&spec).unwrap(), input)
}

fn holds(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "{part:?} is not in {line}");
    }
}

fn clip() -> Media {
    Media {
        format: "mov".into(),
        duration_seconds: Some(5.0),
        video: Some(Video {
            index: 2,
            ..Video::default()
        }),
        audio: Some(Sound {
            index: 0,
            codec: "aac".into(),
            channels: 2,
            ..Sound::default()
        }),
        captions: vec![Caption {
            index: 3,
            codec: "subrip".into(),
        }],
        ..Media::default()
    }
}

#[test]
fn a_file_is_read_behind_its_protocol_and_a_whitelist() {
    let line = line(|s| s.input = Some("/-y.mp4".into()), Some(&clip()));
    assert!(
        line.contains("-protocol_whitelist file -format_whitelist mov,"),
        "{line}"
    );
    assert!(line.contains(" -i file:/-y.mp4 -map 0:2 -vf "), "{line}");
    assert!(line.ends_with(" -f matroska file:/out/.x.part"), "{line}");
}

#[test]
fn a_start_is_sought_in_the_input_and_the_length_counts_from_there() {
    let line = line(
        |s| {
            s.input = Some("/a.mp4".into());
            s.start_seconds = Some(2.5);
            s.duration_seconds = Some(1.0);
        },
        Some(&clip()),
    );
    assert!(
        line.contains(" -ss 2.500000 -i file:/a.mp4 ") && line.contains(" -t 1.000000 "),
        "{line}"
    );
}

#[test]
fn a_synthetic_source_is_made_inside_the_encoding_process() {
    let line = line(|s| s.scenario = Some("1080p60-h265".into()), None);
    assert!(
        line.contains("-i testsrc2=size=1920x1080:rate=60"),
        "{line}"
    );
    assert!(
        line.contains("sine=") && line.contains("-t 10.000000"),
        "{line}"
    );
    assert!(
        line.contains("-c:v libx265 -preset ultrafast -crf 28"),
        "{line}"
    );
}

#[test]
fn odd_synthetic_widths_are_rounded_to_even() {
    assert!(line(|s| s.scenario = Some("480p-h264".into()), None).contains("size=854x480"));
}

#[test]
fn an_input_without_sound_gets_none() {
    let silent = Media {
        audio: None,
        ..clip()
    };
    let line = line(|s| s.input = Some("/a.mp4".into()), Some(&silent));
    assert!(line.contains(" -an ") && !line.contains("-c:a"), "{line}");
}

#[test]
fn two_passes_share_a_log_and_the_first_makes_nothing() {
    let both = lines(
        |s| {
            s.input = Some("/a.mp4".into());
            (s.two_pass, s.bitrate) = (true, Some("1M".into()));
        },
        Some(&clip()),
    );
    assert_eq!(both.len(), 2);
    holds(
        &both[0],
        &[
            "-pass 1 -passlogfile pass",
            "-b:v 1000000",
            "-an -sn -dn -f matroska file:/dev/null",
        ],
    );
    holds(
        &both[1],
        &["-pass 2 -passlogfile pass", "-c:a aac", "file:/out/.x.part"],
    );
}

#[test]
fn an_nvenc_encode_is_told_its_gpu_quality_and_preset() {
    let settings = Settings::resolve(&JobSpec {
        input: Some("/a.mp4".into()),
        gpu: true,
        codec: Some("h265".into()),
        pixel_format: Some("yuv420p10le".into()),
        gop: Some("2s".into()),
        ..JobSpec::default()
    })
    .unwrap();
    let media = clip();
    let order = Order {
        settings: &settings,
        input: Some(&media),
        gpu: Some(1),
        loudness: None,
        target: Path::new("/x"),
        part: 0,
        trust: &Trust::default(),
    };
    let line: Vec<_> = arguments(Pass::Encode, order)
        .iter()
        .map(|a| a.to_string_lossy().into_owned())
        .collect();
    holds(
        &line.join(" "),
        &[
            "format=p010le -c:v hevc_nvenc -preset p4 -gpu 1",
            "-rc vbr -b:v 0 -cq 28",
            "-forced-idr 1",
        ],
    );
}

#[test]
fn a_ladder_is_decoded_once_and_its_sound_encoded_once() {
    let line = line(
        |s| {
            s.input = Some("/a.mp4".into());
            s.output = Some("/show/index.m3u8".into());
            s.renditions = vec!["1280x720@2.8M".into(), "-2x480@1M".into()];
        },
        Some(&clip()),
    );
    holds(
        &line,
        &[
            "-filter_complex [0:2]split=2[s0][s1];[s0]scale=1280:720,format=yuv420p[v0];[s1]scale=-2:480,format=yuv420p[v1]",
            "-map [v0] -map [v1]",
            "-b:v:0 2800000 -maxrate:v:0 4200000",
            "-force_key_frames expr:gte(t,n_forced*6)",
            "-var_stream_map a:0,agroup:sound,default:yes,name:sound v:0,agroup:sound,name:v0 v:1,agroup:sound,name:v1",
            "-master_pl_name index.m3u8",
        ],
    );
    assert!(line.ends_with(" out/%v.m3u8"), "{line}");
    assert_eq!(line.matches(" -i ").count(), 1);
    assert_eq!(line.matches("-c:a").count(), 1);
}

#[test]
fn a_url_may_lead_only_to_what_its_scheme_needs() {
    for (url, protocols) in [
        (
            "https://h/a.mp4",
            "-protocol_whitelist https,httpproxy,tls,tcp ",
        ),
        (
            "http://h/a.m3u8",
            "-protocol_whitelist http,https,httpproxy,tls,tcp,crypto ",
        ),
        ("rtmp://h/live/key", "-protocol_whitelist rtmp,tcp "),
        ("srt://h:9000", "-protocol_whitelist srt "),
    ] {
        // The first of what a live source takes.
        let line = lines(|s| s.input = Some(url.into()), None).remove(0);
        holds(&line, &[protocols, "-map 0:V:0 ", "-map 0:a:0? "]);
        assert!(!line.contains("whitelist file"), "{line}");
    }
}

#[test]
fn what_is_pushed_goes_out_as_fast_as_it_plays() {
    let line = line(
        |s| {
            s.input = Some("/a.mp4".into());
            s.output = Some("rtmp://h/live/key".into());
        },
        Some(&clip()),
    );
    holds(
        &line,
        &["-re -protocol_whitelist file", "-f flv rtmp://h/live/key"],
    );
}

#[test]
fn subtitles_become_what_the_container_holds() {
    let of = |output: &str| {
        line(
            |s| {
                s.input = Some("/a.mkv".into());
                s.output = Some(output.into());
                s.subtitles = Some("copy".into());
            },
            Some(&clip()),
        )
    };
    holds(&of("/b.mp4"), &["-map 0:3 -c:s mov_text"]);
    holds(&of("/b.webm"), &["-map 0:3 -c:s webvtt"]);
    holds(&of("/b.mkv"), &["-map 0:3 -c:s copy"]);
}

#[test]
fn a_live_source_is_taken_down_in_parts_that_are_joined_by_copying_and_a_push_goes_on_in_one_step()
{
    let of = |output: &str| {
        lines(
            |spec| {
                spec.input = Some("rtmp://h/live/k".into());
                spec.output = Some(output.into());
                spec.codec = Some("h265".into()).filter(|_| !output.starts_with("rtmp"));
            },
            None,
        )
    };
    let recorded = of("/a.mp4");
    let [part, join] = recorded.as_slice() else {
        panic!("{recorded:?}");
    };
    holds(
        part,
        &[
            "-i rtmp://h/live/k",
            "-ar 48000 -cluster_time_limit 1000 -flush_packets 1 -f matroska file:part_00001.mkv",
        ],
    );
    assert!(
        !part.contains("hvc1") && !part.contains("faststart"),
        "{part}"
    );
    holds(
        join,
        &[
            "-protocol_whitelist file -format_whitelist concat,matroska,webm -i file:parts.ffconcat -map 0 -c copy -b:a 128000",
            "-tag:v hvc1 -movflags +faststart -f mp4 file:/out/.x.part",
        ],
    );
    assert_eq!(of("rtmp://h/live/out").len(), 1);
}

#[test]
fn a_show_that_is_watched_is_one_list_that_grows_and_is_ended_by_nobody_but_the_worker() {
    let show = |codec: &str| {
        lines(
            |s| {
                s.input = Some("rtmp://h/live/k".into());
                s.output = Some("/a/show/index.m3u8".into());
                s.renditions = vec!["640x360@800k".into(), "320x180@300k".into()];
                s.codec = Some(codec.into());
                s.watchable = true;
            },
            None,
        )
    };
    let [line] = show("h264").try_into().unwrap();
    holds(
        &line,
        &[
            "-hls_playlist_type event",
            "-hls_flags independent_segments+append_list+omit_endlist+temp_file",
            "-hls_segment_options mpegts_flags=+initial_discontinuity",
            "out/%v.m3u8",
        ],
    );
    let [line] = show("h265").try_into().unwrap();
    holds(&line, &["-hls_segment_type fmp4", "init_%v.mp4"]);
    assert!(!line.contains("mpegts_flags"), "{line}");
}

#[test]
fn the_files_that_tell_what_a_show_holds_are_those_the_muxer_is_told_to_write() {
    let of = |edit: fn(&mut JobSpec)| {
        let mut spec = JobSpec {
            input: Some("srt://h:9".into()),
            output: Some("/a/index.m3u8".into()),
            watchable: true,
            ..JobSpec::default()
        };
        edit(&mut spec);
        first_segments(&Settings::resolve(&spec).unwrap())
    };
    assert_eq!(of(|_| {}), ["segment_00000.ts"]);
    assert_eq!(of(|s| s.codec = Some("h265".into())), ["init.mp4"]);
    let two = |s: &mut JobSpec| {
        s.renditions = vec!["640x360@800k".into(), "320x180@300k".into()];
    };
    assert_eq!(of(two), ["v0_00000.ts", "v1_00000.ts", "sound_00000.ts"]);
}

#[test]
fn raw_arguments_stand_where_they_count_and_filters_are_joined_in_front_of_ours() {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let lines = lines(
        |s| {
            s.input = Some("/a.mkv".into());
            s.output = Some("/b.mp4".into());
            s.codec = Some("h265".into());
            (s.bitrate, s.two_pass) = (Some("1M".into()), true);
            (s.size, s.loudness) = (Some("1280x720".into()), Some(-16.0));
            s.input_args = words("-fflags +genpts");
            s.output_args =
                words("-vf yadif -af volume=2 -x265-params keyint=9 -map_chapters -1 -copyts");
        },
        Some(&clip()),
    );
    let [loudness, first, second] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    for line in &lines {
        holds(line, &[" -fflags +genpts -protocol_whitelist file "]);
    }
    holds(loudness, &[" -af volume=2,loudnorm="]);
    holds(
        first,
        &[
            " -vf yadif,scale=1280:720,",
            " -x265-params keyint=9:pass=1:stats=",
            " -map_chapters -1 -copyts -an -sn -dn -f mp4 file:/dev/null",
        ],
    );
    holds(
        second,
        &[
            " -vf yadif,scale=1280:720,",
            " -x265-params keyint=9:pass=2:stats=",
            " -af volume=2,loudnorm=",
            " -map_chapters -1 -copyts -f mp4 file:/out/.x.part",
        ],
    );
    assert_eq!(second.matches("-vf").count(), 1, "{second}");
    assert_eq!(second.matches("-x265-params").count(), 1, "{second}");
}
