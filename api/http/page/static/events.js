// Server-sent events in a response's body.

/** The data of each event; comments, which only keep the connection open, are left out. */
export async function* readEvents(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const events = (rest + value).split(/\r?\n\r?\n/);
      rest = events.pop();
      yield* events.map(dataOf).filter((data) => data !== "");
    }
  } finally {
    reader.cancel().catch(() => {}); // the connection may be gone already
  }
}

function dataOf(event) {
  const lines = event.split(/\r?\n/).filter((line) => line.startsWith("data:"));
  return lines.map((line) => line.slice(5).trimStart()).join("\n");
}
