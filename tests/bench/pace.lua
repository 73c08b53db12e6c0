-- Milliseconds that a connection pauses before its next request, at random so that connections do not march in step.
function delay()
  return math.random(1, 9)
end
