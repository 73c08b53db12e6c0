//! The closed list of reasons for which a connection goes on unread. Each is a label value of a metric and names one
//! thing two implementations could read differently, or one limit.

use crate::record::reasons;

reasons! {
    /// Why the reading of a connection ended before the connection did.
    Unread {
        /// The client speaks TLS.
        Tls = "tls",
        /// Neither HTTP nor TLS, or the server spoke first.
        Opaque = "opaque",
        /// The protocol was changed: 101 to anything but HTTP/2 as RFC 7540 §3.2 has it, or 2xx to CONNECT.
        Upgraded = "upgraded",

        /// Bytes followed a request to change the protocol before its answer was known.
        PipelinedAfterUpgrade = "pipelined_after_upgrade",
        /// A 101 nobody asked for.
        UnrequestedUpgrade = "unrequested_upgrade",
        /// Bytes followed a message that closes the connection (RFC 9112 §9.6).
        AfterClose = "after_close",
        /// Bytes followed an `Expect: 100-continue` that was answered with a final response: a body, or a request?
        AfterRefusal = "after_refusal",
        /// More requests than allowed wait for their responses.
        PipelineTooDeep = "pipeline_too_deep",
        /// The server sent bytes that answer no request.
        UnsolicitedResponse = "unsolicited_response",
        /// One side ended its stream within a message.
        Truncated = "truncated",

        /// A head is longer than allowed.
        HeadTooLong = "head_too_long",
        /// A head or trailer section has more fields than allowed.
        TooManyHeaders = "too_many_headers",
        /// More than one empty line came before a request.
        EmptyLine = "empty_line",
        /// A line ends in LF without CR.
        BareLf = "bare_lf",
        /// A CR without LF.
        BareCr = "bare_cr",
        /// A control character in a head or trailer section.
        ControlByte = "control_byte",
        /// A header line begins with white space (RFC 9112 §5.2).
        ObsFold = "obs_fold",
        /// A header's name is empty, not a token, or not followed by its colon at once.
        HeaderName = "header_name",
        /// A header's value has characters that are not allowed.
        HeaderValue = "header_value",
        /// A request line that is not method, space, target, space, version; or HEAD or CONNECT in lower case.
        RequestLine = "request_line",
        /// What should be a response does not begin as HTTP.
        NotHttp = "not_http",
        /// A status line that is not version, space, status of three digits from 100, reason.
        StatusLine = "status_line",
        /// A version other than HTTP/1.0 and HTTP/1.1.
        Version = "version",

        /// HTTP/1.1 without `Host`.
        HostMissing = "host_missing",
        /// More than one `Host`.
        HostRepeated = "host_repeated",
        /// A `Host` that is not one host with an optional port.
        HostInvalid = "host_invalid",
        /// `Host` and an absolute target name different authorities.
        HostMismatch = "host_mismatch",
        /// A request target of none of the four forms (RFC 9112 §3.2), or of one its method does not have.
        Target = "target",
        /// A target with user information.
        Userinfo = "userinfo",
        /// A target with a fragment.
        Fragment = "fragment",

        /// Several `Content-Length`, or one that is not a plain number of 64 bits.
        ContentLength = "content_length",
        /// A `Transfer-Encoding` other than exactly one `chunked`.
        TransferEncoding = "transfer_encoding",
        /// Both `Content-Length` and `Transfer-Encoding`.
        LengthAndEncoding = "length_and_encoding",
        /// A `Transfer-Encoding` in HTTP/1.0.
        EncodingInHttp10 = "encoding_in_http10",
        /// A CONNECT request that announces a body.
        ConnectBody = "connect_body",
        /// A 1xx or 204 response that announces a body.
        BodyForbidden = "body_forbidden",

        /// A chunk size that is not 1 to 16 hexadecimal digits.
        ChunkSize = "chunk_size",
        /// A chunk extension with characters that are not allowed.
        ChunkExtension = "chunk_extension",
        /// A chunk's size line is longer than allowed.
        ChunkLineTooLong = "chunk_line_too_long",
        /// A chunk's data is not followed by CR LF.
        ChunkEnd = "chunk_end",
        /// A trailer field that frames or routes a message.
        TrailerField = "trailer_field",
        /// A trailer section is longer than allowed.
        TrailersTooLong = "trailers_too_long",

        /// The first frame of a side is not SETTINGS (RFC 9113 §3.4), or no preface of the client follows a 101 to HTTP/2: one
        /// of them does not speak it.
        NotHttp2 = "not_http2",
        /// A frame is longer than its receiver allows, or has a length its type cannot have (RFC 9113 §4.2).
        FrameSize = "frame_size",
        /// A frame on a stream its sender cannot use it on: none, one not open yet, or one of the other side's
        /// (RFC 9113 §5.1).
        FrameStream = "frame_stream",
        /// A request on a stream that was used before (RFC 9113 §5.1.1).
        StreamReused = "stream_reused",
        /// A frame's padding is longer than the frame.
        Padding = "padding",
        /// Another frame came within a header block, or CONTINUATION outside of one (RFC 9113 §6.10).
        Continuation = "continuation",
        /// A setting has a value it cannot have, or SETTINGS were acknowledged that were not sent.
        Settings = "settings",
        /// More SETTINGS than allowed wait for their acknowledgement.
        SettingsUnacknowledged = "settings_unacknowledged",
        /// More streams are open than allowed.
        TooManyStreams = "too_many_streams",
        /// A header block cannot be decoded (RFC 7541).
        Hpack = "hpack",
        /// A table of header compression is larger than its receiver allows (RFC 7541 §4.2).
        HpackTable = "hpack_table",
        /// A table of header compression is larger than this reader follows.
        HpackTableTooLarge = "hpack_table_too_large",
    }
}

reasons! {
    /// Why one request of an HTTP/2 connection was not read, or not to its end, while the others are.
    Skipped {
        /// CONNECT, for a tunnel or for WebSocket (RFC 8441).
        Connect = "connect",
        /// The server had said that it looks at no further streams (RFC 9113 §6.8).
        AfterGoaway = "after_goaway",

        /// A head or trailer section is longer than allowed.
        HeadTooLong = "head_too_long",
        /// A head or trailer section has more fields than allowed.
        TooManyHeaders = "too_many_headers",
        /// A pseudo-header is missing, repeated, or one HTTP does not know (RFC 9113 §8.3).
        PseudoHeader = "pseudo_header",
        /// A header's name is empty, has upper case, or characters that are not allowed; or a pseudo-header came after
        /// other fields.
        HeaderName = "header_name",
        /// A header's value has control characters, or white space around it.
        HeaderValue = "header_value",
        /// A header that belongs to a connection, and so not to HTTP/2 (RFC 9113 §8.2.2).
        ConnectionHeader = "connection_header",
        /// A trailer field that frames or routes a message.
        TrailerField = "trailer_field",

        /// A method that is not a token.
        Method = "method",
        /// A scheme other than http and https.
        Scheme = "scheme",
        /// A path that does not begin with a slash, or has characters that are not allowed.
        Path = "path",
        /// Neither `:authority` nor `Host`.
        HostMissing = "host_missing",
        /// More than one `Host`.
        HostRepeated = "host_repeated",
        /// An authority that is not one host with an optional port.
        HostInvalid = "host_invalid",
        /// `:authority` and `Host` differ.
        HostMismatch = "host_mismatch",

        /// A response without a status of three digits, or with one that has no place in HTTP/2.
        Status = "status",
        /// Several `Content-Length`, one that is not a plain number, or one the body does not have.
        ContentLength = "content_length",
        /// Data before the head, or a second head.
        Sequence = "sequence",
        /// More came after the end of a message.
        AfterEnd = "after_end",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reasons in the manual's table of this metric.
    fn told(metric: &str) -> Vec<&'static str> {
        let page = include_str!("../../../config/manual/unread.md");
        let (_, table) = page.split_once(&format!("\n| `{metric}` | because |\n|---|---|\n")).unwrap();
        let rows = table.lines().map_while(|row| row.strip_prefix("| `")?.split_once("` | "));
        rows.filter(|(_, meaning)| meaning.len() > 3).map(|(reason, _)| reason).collect()
    }

    #[test]
    fn the_manual_tells_every_reason_and_no_other() {
        let connections: Vec<_> = Unread::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(told("umbra_unread_connections_total"), connections);
        let requests: Vec<_> = Skipped::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(told("umbra_unread_requests_total"), requests);
    }
}
