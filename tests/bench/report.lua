-- What wrk says at its end, as one line of JSON; times in microseconds. Without a function called per request, wrk
-- sends and reads as it does without a script; pace.lua adds one.
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"took":%d,"p50":%d,"p99":%d,"errors":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.timeout + e.status))
end
