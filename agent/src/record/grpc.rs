//! The outcome of a gRPC call, as its server said it (`grpc-status`).

/// One of the 17 codes of gRPC. What is none of them is UNKNOWN, as gRPC's own clients take it, so that a label made of it
/// is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrpcStatus(u8);

const UNKNOWN: u8 = 2;

impl GrpcStatus {
    /// How many there are.
    pub const COUNT: usize = TEXT.len();

    /// Of the value of `grpc-status`, in a head or in trailers.
    pub fn parse(value: &[u8]) -> Self {
        let known = TEXT.iter().position(|text| text.as_bytes() == value);
        Self(known.and_then(|code| u8::try_from(code).ok()).unwrap_or(UNKNOWN))
    }

    /// In the order of their codes.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..).take(Self::COUNT).map(Self)
    }

    pub fn code(self) -> u8 {
        self.0
    }

    /// The value of the label `grpc_response_status`: the number, as Istio writes it.
    pub fn as_str(self) -> &'static str {
        TEXT[usize::from(self.0)]
    }

    /// The HTTP status that Envoy takes it for when it judges an endpoint (`Grpc::Utility::grpcToHttpStatus`).
    pub fn as_http(self) -> u16 {
        match self.0 {
            0 => 200,
            1 => 499,
            3 | 9 | 11 => 400,
            4 => 504,
            5 => 404,
            6 | 10 => 409,
            7 => 403,
            8 => 429,
            12 => 501,
            14 => 503,
            16 => 401,
            // UNKNOWN, INTERNAL, DATA_LOSS.
            _ => 500,
        }
    }
}

const TEXT: [&str; 17] =
    ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_code_of_grpc_is_unknown() {
        for (value, code) in [("0", 0), ("14", 14), ("16", 16), ("17", 2), ("-1", 2), ("", 2), ("014", 2)] {
            assert_eq!(GrpcStatus::parse(value.as_bytes()).code(), code, "{value}");
        }
        assert_eq!(GrpcStatus::parse(b"14").as_str(), "14");
    }

    #[test]
    fn a_status_is_taken_for_envoys_http_status() {
        let http = |code: u8| GrpcStatus(code).as_http();
        assert_eq!([0, 4, 5, 12, 13, 14].map(http), [200, 504, 404, 501, 500, 503]);
    }
}
