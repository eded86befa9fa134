// One answer while it comes: chunks in, a message that can be kept out.

/** `startedMs`: when the request was sent, by performance.now(). */
export class Answer {
  constructor(startedMs) {
    this.message = { role: "assistant", content: "", reasoning: "", calls: [] };
    this.startedMs = startedMs;
    this.firstMs = null;
    this.lastMs = null;
    this.numPieces = 0;
    this.usage = null;
  }

  feed(chunk, nowMs) {
    this.usage = chunk.usage ?? this.usage;
    const choice = chunk.choices?.[0];
    if (!choice) return;
    const { content, tool_calls: calls, ...delta } = choice.delta;
    const reasoning = delta.reasoning_content ?? delta.reasoning;
    this.message.content += content ?? "";
    this.message.reasoning += reasoning ?? "";
    for (const call of calls ?? []) this.#addCall(call);
    if (choice.finish_reason) this.message.finish = choice.finish_reason;
    if (content || reasoning || calls) this.#count(nowMs);
  }

  get hasBegun() {
    return this.firstMs !== null;
  }

  /** Ends it for another reason than the model's. */
  end(reason, error = "") {
    this.message.finish ??= reason;
    if (error) this.message.error = error;
  }

  /** Tokens are exact where the usage came, which it does at the end only. */
  measure() {
    if (!this.hasBegun) return;
    const numTokens = this.usage?.completion_tokens ?? this.numPieces;
    const writingSeconds = (this.lastMs - this.firstMs) / 1000;
    this.message.timing = {
      firstSeconds: (this.firstMs - this.startedMs) / 1000,
      perSecond: numTokens > 1 && writingSeconds > 0 ? (numTokens - 1) / writingSeconds : 0,
      numTokens,
      isExact: this.usage !== null,
      promptTokens: this.usage?.prompt_tokens,
      cachedTokens: this.usage?.prompt_tokens_details?.cached_tokens,
    };
  }

  #count(nowMs) {
    this.firstMs ??= nowMs;
    this.lastMs = nowMs;
    this.numPieces += 1;
  }

  #addCall({ index, id, function: called }) {
    const call = (this.message.calls[index] ??= { id: "", name: "", arguments: "" });
    call.id ||= id ?? "";
    call.name ||= called?.name ?? "";
    call.arguments += called?.arguments ?? "";
  }
}
