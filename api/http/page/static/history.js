// The last minutes of /stats, as what the plots show.

export const SPAN_MS = 5 * 60 * 1000;
const HIT_WINDOW_MS = 60 * 1000;

export class History {
  samples = []; // the oldest first

  add(stats, timeMs) {
    const { tokens, batch, time_to_first_token_seconds: first, inter_token_seconds: gap } = stats;
    const { hit_tokens: hits, asked_tokens: asked, used_bytes: prefixBytes } = stats.prefix_cache;
    // A server that was started again counts from 0: what was before says nothing of it.
    if (this.samples.at(-1)?.asked > asked) this.samples = [];
    this.samples.push({
      timeMs,
      outputRate: tokens.output_per_second,
      promptRate: tokens.prompt_per_second,
      running: batch.running,
      queued: batch.queued,
      first50: first.p50,
      first99: first.p99,
      gap50: gap.p50,
      gap99: gap.p99,
      kvBytes: stats.kv_memory.used_bytes,
      prefixBytes,
      hits,
      asked,
      hitRate: this.#hitRate(hits, asked, timeMs),
    });
    while (this.samples[0].timeMs < timeMs - SPAN_MS) this.samples.shift();
  }

  /** Of the last minute's prompts; null where there was none. */
  #hitRate(hits, asked, timeMs) {
    const before = this.samples.find((sample) => sample.timeMs >= timeMs - HIT_WINDOW_MS);
    const numAsked = asked - (before?.asked ?? 0);
    return numAsked > 0 ? (hits - (before?.hits ?? 0)) / numAsked : null;
  }
}
