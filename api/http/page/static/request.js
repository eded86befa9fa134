// What is sent: a chat's messages and the settings as the body of a request.

/** Throws an Error that says what to mend where the settings hold no JSON. */
export function requestBody(messages, settings) {
  const system = settings.system.trim() ? [{ role: "system", content: settings.system }] : [];
  const body = {
    model: "model",
    messages: [...system, ...messages.map(toWire)],
    stream: true,
    stream_options: { include_usage: true },
    ...settings.sampling,
  };
  if (settings.effort) body.reasoning_effort = settings.effort;
  if (settings.useSchema) {
    const schema = parse(settings.schema, "The JSON schema");
    body.response_format = { type: "json_schema", json_schema: { name: "answer", schema } };
  }
  if (settings.useTools) body.tools = parse(settings.tools, "The list of tools");
  return body;
}

function toWire(message) {
  if (message.role === "tool") return { role: "tool", tool_call_id: message.callId, content: message.content };
  if (!message.calls?.length) return { role: message.role, content: message.content };
  const calls = message.calls.map((call) => ({
    id: call.id,
    type: "function",
    function: { name: call.name, arguments: call.arguments },
  }));
  return { role: "assistant", content: message.content || null, tool_calls: calls };
}

function parse(text, what) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${what} in the settings is not JSON: ${error.message}`);
  }
}
