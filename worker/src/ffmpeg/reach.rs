//! How ffmpeg and ffprobe are told where to read: the address, and what they may open to follow it.
//!
//! The one place where a protocol or a demuxer is allowed. What a file or a server says can make ffmpeg open other files
//! and addresses (playlists, references); every place that is read has its own list of what it may lead to, and `file`
//! is never on that of a URL. Which hosts it may go to is [`crate::guard`]'s affair: `httpproxy` is how TLS gets there.

use std::{ffi::OsString, path::Path};

use ffrtmp_api::settings::{Address, Scheme};

use crate::trust::Trust;

/// Demuxers an input may be opened with. Every one reads a single file; none (hls, dash, concat, sdp, image2, imf, …)
/// opens what the file names. Names as `ffmpeg -demuxers` prints them.
const FORMATS: &str = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,live_flv,mpegts,mpeg,mpegvideo,asf,\
    asf_o,ogg,mxf,nut,rm,dv,gxf,ivf,h264,hevc,av1,obu,m4v,h263,vc1,mjpeg,yuv4mpegpipe,gif,wtv,swf,nsv,vob,roq,bink,smk,\
    wav,w64,mp3,flac,aac,ac3,eac3,aiff,caf,amr,dts,truehd";
/// Demuxers a picture that was just made is looked at with.
const STILL_FORMATS: &str = "jpeg_pipe,png_pipe,image2,mjpeg";
/// How long a server may be silent, in microseconds, before the input counts as broken.
const SILENCE_MICROSECONDS: &str = "30000000";

/// Something to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reach<'a> {
    /// A file somebody else wrote.
    File(&'a Path),
    /// A picture that was made here.
    OwnStill(&'a Path),
    /// The playlist or manifest of a folder that was made here, which names the files beside it.
    OwnFolder(&'a Path),
    /// A list of parts that was made here, which names files beside it.
    OwnParts(&'a Path),
    /// An address, and whom it is taken for.
    Url(&'a Address, &'a Trust),
}

impl Reach<'_> {
    /// What stands before `-i`.
    pub(crate) fn options(&self) -> Vec<OsString> {
        let (protocols, formats) = match self {
            Reach::File(_) => ("file", FORMATS.to_owned()),
            Reach::OwnStill(_) => ("file", STILL_FORMATS.to_owned()),
            Reach::OwnFolder(_) => ("file", format!("hls,dash,{FORMATS}")),
            Reach::OwnParts(_) => ("file", "concat,matroska,webm".to_owned()),
            Reach::Url(address, _) => (
                match address.scheme() {
                    // A playlist may lead to another server, and to keys.
                    Scheme::Http | Scheme::Https if is_playlist(address) => {
                        "http,https,httpproxy,tls,tcp,crypto"
                    }
                    Scheme::Http => "http,https,httpproxy,tls,tcp",
                    Scheme::Https => "https,httpproxy,tls,tcp",
                    Scheme::Rtmp => "rtmp,tcp",
                    Scheme::Rtmps => "rtmps,rtmp,tls,tcp",
                    Scheme::Srt => "srt",
                },
                match is_playlist(address) {
                    true => format!("hls,{FORMATS}"),
                    false => FORMATS.to_owned(),
                },
            ),
        };
        let mut options: Vec<OsString> = ["-protocol_whitelist", protocols, "-format_whitelist"]
            .map(OsString::from)
            .to_vec();
        options.push(formats.into());
        if let Reach::Url(address, trust) = self
            && address.scheme() != Scheme::Srt
        {
            options.extend(["-rw_timeout", SILENCE_MICROSECONDS].map(OsString::from));
            options.extend(trust.options(address));
            options.extend(told_name(address));
        }
        options
    }

    /// What stands behind `-i`. A path stands behind `file:`: whatever characters it holds, it is neither an option nor
    /// another protocol.
    pub(crate) fn url(&self) -> OsString {
        match self {
            Reach::File(path)
            | Reach::OwnStill(path)
            | Reach::OwnFolder(path)
            | Reach::OwnParts(path) => file_url(path),
            Reach::Url(address, _) => address.secret().into(),
        }
    }

    /// As it is shown: without secrets.
    pub(crate) fn shown(&self) -> String {
        match self {
            Reach::File(path)
            | Reach::OwnStill(path)
            | Reach::OwnFolder(path)
            | Reach::OwnParts(path) => path.display().to_string(),
            Reach::Url(address, _) => address.to_string(),
        }
    }
}

/// What makes an RTMP server hear the name it was called by, and show a certificate for it, where ffmpeg is given its IP address. That
/// was checked, and RTMP goes there itself: over a proxy ffmpeg waits for the server to say something, between any two packets.
pub(crate) fn told_name(address: &Address) -> Vec<OsString> {
    let mut options = Vec::new();
    if let Some(url) = address.rtmp_tc_url() {
        options.extend(["-rtmp_tcurl".into(), url.into()]);
    }
    if let Some(name) = address.certificate_name() {
        options.extend(["-verifyhost", name, "-http_proxy", ""].map(OsString::from));
    }
    options
}

fn is_playlist(address: &Address) -> bool {
    matches!(address.scheme(), Scheme::Http | Scheme::Https)
        && address.path().to_ascii_lowercase().ends_with(".m3u8")
}

/// `file:/abs/path`.
pub(crate) fn file_url(path: &Path) -> OsString {
    let mut url = OsString::from("file:");
    url.push(path);
    url
}
